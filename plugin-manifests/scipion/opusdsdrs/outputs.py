"""Scipion's sets from a job's results. A set is written beside and then taken over whole, so that nobody reads half of one."""

import os
import sqlite3
import time

import numpy as np
from emtable import Table
from pwem.objects import ParticleFlex, SetOfClasses3D, SetOfParticlesFlex, SetOfVolumes, Volume
from pyworkflow.mapper.sqlite_db import SqliteDb
from pyworkflow.object import CsvList, Pointer, Set

from .constants import CONFIG, DOWNFRAC, JOB, PROG_NAME, WEIGHTS, Z_VALUES, ZDIM

PARTICLES, VOLUMES, CLASSES = "outputParticles", "outputVolumes", "outputClasses"
#: Seconds that a set may be locked by somebody who reads it.
LOCK_PATIENCE_S = 60
#: Where a trained job keeps the weights of an epoch.
EPOCH = "checkpoint/epoch-%03d"
CLASSES_OUTPUT = {PARTICLES: SetOfParticlesFlex, VOLUMES: SetOfVolumes, CLASSES: SetOfClasses3D}


def star_columns(star, *labels):
    """Cells of these columns, a tuple a row of a particle STAR file."""
    return [tuple(getattr(row, label) for label in labels) for row in Table.iterRows("particles@" + star)]


class Outputs:
    """Registers and renews the outputs of a protocol while its job grows.

    `folder` is the job's, `trained` that of the job whose latents they are, `star` the file whose rows the latents follow,
    `source` a pointer to the particles: the rows are joined to them by `rlnImageId`, never by order.
    """

    def __init__(self, protocol, folder, trained, star, source, series_are_volumes=False):
        self.protocol = protocol
        self.folder = folder
        self.trained = trained
        self.source = source
        self.series_are_volumes = series_are_volumes
        self.star = star
        self.shown_latents = self.shown_classes = None
        self.shown_volumes = []
        self.shown_series = {}

    def update(self, results, complete=False):
        """Makes every output that the results have and that has changed; all of them when the job is complete."""
        state = Set.STREAM_CLOSED if complete else Set.STREAM_OPEN
        latents = results.get("latents")
        if latents and (complete or (latents, results["epoch"], results.get("particles")) != self.shown_latents):
            self.shown_latents = latents, results["epoch"], results.get("particles")
            self._particles(results, state, self._embedding() if complete else None)
        volumes = results["volumes"]
        if volumes and (complete or volumes != self.shown_volumes):
            self._volumes(VOLUMES, "volumes.sqlite", results["apix"], volumes, state)
        for series in results.get("series", []):
            if series["volumes"] and (complete or self.shown_series.get(series["name"]) != len(series["volumes"])):
                self.shown_series[series["name"]] = len(series["volumes"])
                self._series(series, results["apix"], state)
        if latents and results.get("particles") and (complete or self.shown_classes != (latents, len(volumes))):
            self.shown_classes = latents, len(volumes)
            self._classes(results, state)
        self.shown_volumes = volumes

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _classes_of(self, results):
        """Cluster of every particle id; empty before they are known."""
        if not results.get("particles"):
            return {}
        return {int(i): int(c) for i, c in star_columns(self._path(results.get("particles")), "rlnImageId", "rlnClassNumber")}

    def _embedding(self):
        """The latents in two dimensions, of a job that is complete; None where it has none."""
        path = self._path("umap.npy")
        return np.load(path) if os.path.exists(path) else None

    def _particles(self, results, state, embedding):
        latents = np.load(self._path(results["latents"]))
        row_of = {int(i): row for row, (i,) in enumerate(star_columns(self.star, "rlnImageId"))}
        if len(latents) != len(row_of):
            raise ValueError("%s has %d rows for the %d particles of %s" % (results["latents"], len(latents), len(row_of), self.star))
        class_of = self._classes_of(results)
        source = self.source.get()

        def fill(output):
            output.copyInfo(source)
            output.setHasCTF(source.hasCTF())
            self._describe(output.getFlexInfo(), results, latents.shape[1])
            for particle in source.iterItems():
                row = row_of.get(particle.getObjId())
                if row is None:
                    continue
                flex = ParticleFlex(progName=PROG_NAME)
                flex.copyInfo(particle)
                flex.setObjId(particle.getObjId())
                flex.setEnabled(particle.isEnabled())
                flex.getFlexInfo().setProgName(PROG_NAME)
                flex.setZFlex([_short(z) for z in latents[row]])
                # Set in any case: what the input has is a picture of other latents.
                flex.setZRed([_short(x) for x in embedding[row]] if embedding is not None else [])
                flex.setClassId(class_of.get(particle.getObjId()))
                output.append(flex)

        try:
            self._publish(PARTICLES, SetOfParticlesFlex, "flexparticles.sqlite", state, fill, progName=PROG_NAME)
        finally:
            source.close()

    def _describe(self, info, results, zdim):
        info.setProgName(PROG_NAME)
        info.setAttr(JOB, self.trained)
        info.setAttr(CONFIG, os.path.join(self.trained, "settings.json"))
        info.setAttr(ZDIM, int(zdim))
        info.setAttr(DOWNFRAC, float(self.protocol.imageFraction(self.trained)))
        # An analysis has no weights of its own.
        weights = self._path(results["weights"]) if results.get("weights") else os.path.join(self.trained, EPOCH % results["epoch"])
        info.setAttr(WEIGHTS, os.path.normpath(weights))

    def _volume(self, apix, entry=None):
        """A volume with its latents; without an entry one that is not decoded yet, of the same columns."""
        volume = Volume()
        volume.setSamplingRate(apix)
        z = CsvList(pType=float)
        if entry:
            volume.setFileName(self._path(entry["file"]))
            z.set([_short(x) for x in entry["z"]])
        setattr(volume, Z_VALUES, z)
        return volume

    def _volumes(self, name, file, apix, entries, state):
        def fill(output):
            output.setSamplingRate(apix)
            for number, entry in enumerate(entries, 1):
                volume = self._volume(apix, entry)
                volume.setObjId(number)
                if entry.get("class") is not None:
                    volume.setClassId(entry["class"])
                    volume.setObjComment("%d particles" % entry["n"])
                output.append(volume)

        self._publish(name, SetOfVolumes, file, state, fill)

    def _series(self, series, apix, state):
        """A series of volumes: the output itself where there are no clusters, else one besides, outputVolumesPc1 …"""
        if self.series_are_volumes:
            self._volumes(VOLUMES, "volumes.sqlite", apix, series["volumes"], state)
        else:
            name = series["name"]
            self._volumes(VOLUMES + name.capitalize(), "volumes_%s.sqlite" % name, apix, series["volumes"], state)

    def _classes(self, results, state):
        class_of = self._classes_of(results)
        volume_of = {v["class"]: v for v in results["volumes"] if v.get("class") is not None}

        def in_class(particle, _row):
            particle.setClassId(class_of.get(particle.getObjId(), 0))

        def with_volume(item):
            item.setAlignmentProj()
            item.setRepresentative(self._volume(results["apix"], volume_of.get(item.getObjId())))

        def fill(output):
            # An indirect pointer: the set is found again wherever the project lies.
            output.setImages(Pointer(self.protocol, extended=PARTICLES))
            output.classifyItems(updateItemCallback=in_class, updateClassCallback=with_volume)

        try:
            self._publish(CLASSES, SetOfClasses3D, "classes3D.sqlite", state, fill)
        finally:
            # What was left in the middle of its rows would lock the particles.
            getattr(self.protocol, PARTICLES).close()

    def _publish(self, name, kind, file, state, fill, **about):
        """Writes a set beside, takes it over in one transaction, and tells the project."""
        path = self.protocol._getPath(file)
        unfinished = path + ".tmp"
        _remove_database(unfinished)
        output = kind(filename=unfinished, **about)
        fill(output)
        output.setStreamState(state)
        # The set's own table names its file: let it name the place that it goes to.
        output._mapperPath.set("%s, " % path)
        output.write()
        output.close()
        _take_over(unfinished, path)
        is_new = not self.protocol.hasAttribute(name)
        self.protocol._updateOutputSet(name, output, state=state)
        if is_new:
            self.protocol._defineSourceRelation(self.source, getattr(self.protocol, name))


def _take_over(new, path):
    """Makes the content of one database that of another, in one transaction.

    A file that is renamed into place would leave windows that show the set with a deleted one, which sqlite refuses to write: Scipion
    then could not close the set of a job that is stopped.
    """
    SqliteDb.closeConnection(path)
    until = time.monotonic() + LOCK_PATIENCE_S

    def patience(status, _left, _all):
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > until:
            raise TimeoutError("%s has been in use by another program for %d s" % (path, LOCK_PATIENCE_S))

    source, target = sqlite3.connect(new), sqlite3.connect(path)
    try:
        source.backup(target, progress=patience)
    finally:
        source.close()
        target.close()
    _remove_database(new)


def _remove_database(path):
    for left in (path, path + "-journal"):
        if os.path.exists(left):
            os.remove(left)


def _short(value):
    """The shortest decimal number that is read back as the same 32-bit one."""
    return float(str(np.float32(value)))

"""Tests on a small simulated set. They need `opus-dsd` (OPUSDSD_RS_BIN) and scipion-em-relion's converters, no display and no GPU."""

import os
import subprocess

import numpy as np
from pwem import Domain
from pyworkflow.project import Manager
from pyworkflow.tests import BaseTest, setupTestProject

from .. import Plugin
from ..outputs import star_columns

#: Particles of the simulated set, their box (pixels) and pixel size (Å).
PARTICLES, BOX, APIX = 96, 32, 3.0
#: Ids that are trained on: with gaps, so that an id is not the number of a row.
IDS = [i for i in range(1, PARTICLES + 1) if i % 8]
#: A job of seconds on one thread of a CPU. So few particles bear neither the noise of a usual set nor the usual learning rate for long.
SMALL = {"useMask": True, "preset": "tiny", "zDim": 3, "numEpochs": 2, "ksamples": 2, "useGpu": False, "numberOfThreads": 1, "learningRate": 1e-3}


class OpusDsdRsTest(BaseTest):
    """A project with simulated particles, a part of them, and a mask."""

    @classmethod
    def setUpClass(cls):
        setupTestProject(cls)
        subprocess.run([Plugin.getProgram(), "simulate", "--o", "sim", "-n", str(PARTICLES), "--optics", "%d:%s" % (BOX, APIX), "--seed", "7", "--snr", "1"],
                       check=True, stdout=subprocess.DEVNULL)
        cls.imported = cls.run_of("ProtImportParticles", importFrom=3, starFile=os.path.abspath("sim/particles.star"), samplingRate=APIX)
        cls.mask = cls.run_of("ProtImportMask", maskPath=os.path.abspath("sim/mask.mrc"), samplingRate=APIX)
        cls.part = cls.run_of("ProtSubSet", inputFullSet=(cls.imported, "outputParticles"), selectIds=True, range=",".join(map(str, IDS)))

    @classmethod
    def protocol(cls, name, **values):
        """A new protocol; a pair of a run and an output's name is a pointer."""
        pointers = {k: v for k, v in values.items() if isinstance(v, tuple)}
        protocol = cls.newProtocol(Domain.getProtocols()[name], **{k: v for k, v in values.items() if k not in pointers})
        for key, (run, output) in pointers.items():
            pointer = getattr(protocol, key)
            pointer.set(run)
            pointer.setExtended(output)
        return protocol

    @classmethod
    def run_of(cls, name, **values):
        """A protocol that has run to its end."""
        return cls.launchProtocol(cls.protocol(name, **values))

    @classmethod
    def launchProtocol(cls, prot, **options):
        """As the host's own, but the failure says why."""
        try:
            return super().launchProtocol(prot, **options)
        except Exception as failed:
            raise AssertionError("%s\n%s\n%s" % (failed, prot.getErrorMessage(), "\n".join(map(str, prot.getLogsLastLines(30))))) from failed

    @classmethod
    def training(cls, **values):
        about = dict(SMALL, inputParticles=(cls.part, "outputParticles"), inputMask=(cls.mask, "outputMask"))
        return cls.protocol("OpusDsdRsProtTrain", **dict(about, **values))

    @classmethod
    def moveProject(cls):
        """Gives the project's folder another name and opens it there."""
        there = cls.proj.path + "Moved"
        os.chdir("/")
        cls.proj.closeMapper()
        os.rename(cls.proj.path, there)
        cls.proj = Manager().loadProject(os.path.basename(there))
        os.chdir(there)

    def assertParticles(self, protocol, ids=IDS, latents="latents.npy", star=None, folder=None):
        """The output has these ids, CTF and poses of the input, and of every particle the latents of its own row."""
        output = protocol.outputParticles
        folder = folder or protocol.getJobFolder()
        z = np.load(os.path.join(folder, latents))
        row_of = {int(i): row for row, (i,) in enumerate(star_columns(star or os.path.join(folder, "particles.star"), "rlnImageId"))}
        inputs = {p.getObjId(): p.clone() for p in self.imported.outputParticles}
        self.assertEqual([p.getObjId() for p in output], list(ids))
        self.assertTrue(output.hasCTF() and output.hasAlignmentProj())
        self.assertEqual(output.getFlexInfo().getProgName(), "Opus-DSD")
        for particle in output:
            source = inputs[particle.getObjId()]
            np.testing.assert_array_equal(particle.getZFlex().astype(np.float32), z[row_of[particle.getObjId()]])
            np.testing.assert_allclose(particle.getTransform().getMatrix(), source.getTransform().getMatrix())
            self.assertEqual(particle.getCTF().getDefocusU(), source.getCTF().getDefocusU())
            self.assertEqual(particle.getLocation()[0], source.getLocation()[0])

    def assertRelativePaths(self, protocol):
        """Nothing that the outputs name lies at an absolute path."""
        info = protocol.outputParticles.getFlexInfo()
        names = [info.getAttr(a) for a in ("_opusdsdWeights", "_opusdsdConfig", "_opusdsdJob")]
        names += [v.getFileName() for v in protocol.outputVolumes]
        names += [c.getRepresentative().getFileName() for c in protocol.outputClasses]
        for name in names:
            self.assertFalse(os.path.isabs(name), name)
            self.assertTrue(os.path.exists(name), name)

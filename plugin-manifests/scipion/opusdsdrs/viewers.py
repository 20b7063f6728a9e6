"""Windows on results: maps in ChimeraX, sets in Scipion's tables, the report, the latents."""

import os
import webbrowser

import numpy as np
from pwem.viewers import ChimeraView, EmPlotter, EmProtocolViewer
from pwem.viewers.viewer_chimera import Chimera
from pyworkflow.gui.text import _open_cmd
from pyworkflow.protocol import params
from pyworkflow.viewer import DESKTOP_TKINTER

from .latents import principal_axes
from .outputs import CLASSES, PARTICLES, VOLUMES, star_columns
from .program import read_results
from .protocols import OpusDsdRsProtAnalyze, OpusDsdRsProtGenerate, OpusDsdRsProtTrain

#: Particles beyond this number are thinned out in the plot: more points do not show more.
MOST_POINTS = 50_000
TABLE, CHIMERAX = 0, 1


class OpusDsdRsViewer(EmProtocolViewer):
    """Results of an opus-dsd run, also while it runs."""

    _label = "viewer opusdsdrs"
    _targets = [OpusDsdRsProtTrain, OpusDsdRsProtAnalyze, OpusDsdRsProtGenerate]
    _environments = [DESKTOP_TKINTER]

    def _defineParams(self, form):
        form.addSection(label="Results")
        sets = self.volume_sets()
        if sets:
            form.addParam("whichVolumes", params.EnumParam, choices=sets, default=0, label="Volumes of",
                          help="Of the clusters, or along a principal component.")
            form.addParam("displayVol", params.EnumParam, choices=["table", "chimerax"], default=CHIMERAX,
                          display=params.EnumParam.DISPLAY_HLIST, label="Display volumes in",
                          help="*chimerax*: side by side as surfaces.\n*table*: as slices.")
        if os.path.exists(self.preview_path()):
            form.addParam("showPreview", params.LabelParam, label="Volume of the last epoch",
                          help="The volume at the mean of the latents, rewritten every epoch.")
        if hasattr(self.protocol, PARTICLES):
            form.addParam("showParticles", params.LabelParam, label="Particles with latents")
            form.addParam("showLatents", params.LabelParam, label="Plot of the latents",
                          help="The first two principal components, coloured by cluster where clusters are known.")
        if hasattr(self.protocol, CLASSES):
            form.addParam("showClasses", params.LabelParam, label="Clusters")
        if self.report_path():
            form.addParam("showReport", params.LabelParam, label="Report", help="Loss, latents, clusters and what to do next.")

    def _getVisualizeDict(self):
        return {"displayVol": self._show_volumes, "showPreview": self._show_preview, "showParticles": lambda _=None: self._table(PARTICLES),
                "showLatents": self._show_latents, "showClasses": lambda _=None: self._table(CLASSES), "showReport": self._show_report}

    # ------------------------------------------------------------- what there is
    def volume_sets(self):
        """Names of the outputs that are sets of volumes."""
        return [name for name, _ in self.protocol.iterOutputAttributes() if name.startswith(VOLUMES)]

    def preview_path(self):
        results = read_results(self.protocol.getJobFolder()) or {}
        return os.path.join(self.protocol.getJobFolder(), results.get("preview") or "preview.mrc")

    def report_path(self):
        """The report: as a page where there is one, else as PDF; None before it is written."""
        paths = [os.path.join(self.protocol.getJobFolder(), name) for name in ("report.html", "logfile.pdf")]
        return next((p for p in paths if os.path.exists(p)), None)

    # ------------------------------------------------------------- views
    def _table(self, name):
        return [self.objectView(getattr(self.protocol, name))]

    def _show_volumes(self, _param=None):
        name = self.volume_sets()[self.whichVolumes.get()]
        if self.displayVol.get() == TABLE:
            return self._table(name)
        volumes = getattr(self.protocol, name)
        return self._chimerax([(v.getFileName(), v.getSamplingRate()) for v in volumes])

    def _show_preview(self, _param=None):
        results = read_results(self.protocol.getJobFolder())
        return self._chimerax([(self.preview_path(), results["apix"] if results else None)])

    def chimerax_script(self, maps):
        """Writes what ChimeraX is to do with maps and their voxel sizes; the script's path."""
        script = self.protocol._getExtraPath("volumes.cxc")
        with open(script, "w") as file:
            for number, (name, apix) in enumerate(maps, 1):
                file.write('open "%s"\n' % os.path.abspath(name))
                if apix:
                    file.write("volume #%d style surface voxelSize %.6g\n" % (number, apix))
            file.write("tile\nview\n" if len(maps) > 1 else "view\n")
        return script

    def _chimerax(self, maps):
        if Chimera.getHome() is None or not os.path.exists(Chimera.getProgram() or ""):
            self.showError("ChimeraX was not found; set CHIMERA_HOME, or show the volumes in a table.")
            return []
        return [ChimeraView(self.chimerax_script(maps))]

    def _show_report(self, _param=None):
        path = os.path.abspath(self.report_path())
        if path.endswith(".html"):
            webbrowser.open("file://" + path)
        else:
            _open_cmd(path, self.getTkRoot())
        return []

    def latent_plot(self):
        """The plot of the latents."""
        folder = self.protocol.getJobFolder()
        results = read_results(folder)
        z = np.load(os.path.join(folder, results["latents"]))
        classes = np.zeros(len(z), dtype=int)
        if results["particles"]:
            classes = np.array([int(c) for (c,) in star_columns(os.path.join(folder, results["particles"]), "rlnClassNumber")])
        shown = np.linspace(0, len(z) - 1, min(len(z), MOST_POINTS)).astype(int)
        mean, axes = principal_axes(z)
        points = (z[shown] - mean) @ axes[:2].T
        plotter = EmPlotter(x=1, y=1, windowTitle="Latents of epoch %s" % results["epoch"])
        if points.shape[1] == 1:
            axis = plotter.createSubPlot("Latents", "latent", "particles")
            axis.hist(points[:, 0], bins=100)
            return plotter
        axis = plotter.createSubPlot("Latents", "principal component 1", "principal component 2")
        axis.scatter(points[:, 0], points[:, 1], c=classes[shown], s=4, cmap="tab20", linewidths=0)
        for volume in results["volumes"]:
            centre = (np.array(volume["z"]) - mean) @ axes[:2].T
            axis.annotate(str(volume.get("class", "")), centre, weight="bold")
        return plotter

    def _show_latents(self, _param=None):
        return [self.latent_plot()]

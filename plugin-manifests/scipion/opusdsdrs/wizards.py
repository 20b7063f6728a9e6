"""Help in filling in forms: the mask's radius over the particles, and how many clusters."""

import os

import numpy as np
from pwem.constants import UNIT_ANGSTROM
from pwem.wizards.wizard import EmWizard, ParticleMaskRadiusWizard, dialog
from pyworkflow.gui.tree import ListTreeProviderString
from pyworkflow.object import String

from .latents import clusters_at_a_glance
from .program import read_results
from .protocols import OpusDsdRsProtAnalyze, OpusDsdRsProtTrain

#: Numbers of clusters that the wizard looks at.
COUNTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
#: Where no radius is given the circle starts at this part of the box.
START = 0.4


class OpusDsdRsMaskRadiusWizard(ParticleMaskRadiusWizard):
    """Draws the ball's outline over the particles."""

    _targets = [(OpusDsdRsProtTrain, ["maskRadius"])]

    def _getProvider(self, protocol):
        return self._getListProvider(protocol.inputParticles)

    def start_radius(self, protocol):
        """Radius (Å) that the circle starts with."""
        particles = protocol.inputParticles.get()
        return protocol.maskRadius.get() or (START * particles.getXDim() * particles.getSamplingRate() if particles else None)

    def show(self, form, *_):
        super().show(form, self.start_radius(form.protocol), "maskRadius", units=UNIT_ANGSTROM)


class OpusDsdRsClustersWizard(EmWizard):
    """Shows for several numbers of clusters how much of the latents' variance they hold apart."""

    _targets = [(OpusDsdRsProtTrain, ["ksamples"]), (OpusDsdRsProtAnalyze, ["ksamples"])]

    def latents(self, protocol):
        """Latents to look at: of the job that is analysed, or of the run itself; None before there are any."""
        folder = protocol.getTrainedFolder() if isinstance(protocol, OpusDsdRsProtAnalyze) else protocol.getJobFolder()
        results = read_results(folder) if folder else None
        if not results or not results.get("latents"):
            return None
        return np.load(os.path.join(folder, results["latents"]))

    def choices(self, protocol):
        """A line for every number of clusters; empty before there are latents."""
        z = self.latents(protocol)
        if z is None:
            return []
        return [(k, "%2d clusters: %3.0f%% of the variance between them, the smallest has %.1f%% of the particles" % (k, 100 * between, 100 * least))
                for k, between, least in clusters_at_a_glance(z, COUNTS)]

    def show(self, form, *_):
        found = self.choices(form.protocol)
        if not found:
            dialog.showWarning("No latents yet", "There are latents to look at after the first epoch of the training.", form.root)
            return
        chosen = dialog.ListDialog(form.root, "Number of clusters", ListTreeProviderString([String(text) for _, text in found]))
        if chosen.values:
            text = chosen.values[0].get()
            form.setVar(form.wizParamName, next(k for k, line in found if line == text))

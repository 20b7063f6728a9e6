import os

from pyworkflow.object import Pointer

from .. import manifest
from ..constants import JOB
from ..outputs import PARTICLES, Outputs
from .protocol_base import OpusDsdRsProtBase


class OfATrainedJob(OpusDsdRsProtBase):
    """A protocol on a trained job, which is named by its particles or by its run; either will do."""

    _label = None

    def getTrainedFolder(self):
        """Folder of the trained job, relative to the project; None where none is named."""
        particles = self.inputParticles.get()
        if particles is not None:
            attribute = getattr(particles.getFlexInfo(), JOB, None) if hasattr(particles, "getFlexInfo") else None
            return attribute.get() if attribute is not None else None
        run = self.getTrainingRun()
        return run.getJobFolder() if run is not None else None

    def getTrainingRun(self):
        """The run that trained; None where it is not named."""
        name = next(manifest.scipion_name(p) for _, shown in manifest.sections(self._job) for p in shown if p["type"] == "job")
        return getattr(self, name).get()

    def getTrainedStar(self):
        """The trained job's particles, whose rows the latents follow."""
        return os.path.join(self.getTrainedFolder(), "particles.star")

    def getSource(self):
        if self.inputParticles.get() is not None:
            return self.inputParticles
        return Pointer(self.getTrainingRun(), extended=PARTICLES)

    def _path_of(self, param, pointer, folder):
        # The program takes one of the two that name the job, and `settings` gives it.
        return None

    def settings(self, folder):
        return dict(super().settings(folder), job=self.getTrainedFolder())

    def _outputs_of_job(self):
        return Outputs(self, self.getJobFolder(), self.getTrainedFolder(), self.getTrainedStar(), self.getSource())

    def _validate(self):
        errors = self._validateGpu()
        particles, run = self.inputParticles.get(), self.getTrainingRun()
        folder = self.getTrainedFolder()
        if particles is None and run is None:
            errors.append("Give the particles of a trained job, or its run.")
        elif folder is None:
            errors.append("*%s*: these particles were not made by the training of this plugin." % self._label_of("inputParticles"))
        elif not os.path.isfile(os.path.join(folder, "particles.star")):
            errors.append("The trained job in %s is not finished, or its folder is gone." % folder)
        elif particles is None and not hasattr(run, PARTICLES):
            errors.append("The run that is named has no particles yet.")
        elif particles is not None and run is not None and run.getJobFolder() != folder:
            errors.append("The particles are of another run than the one that is named; give one of the two.")
        return errors

import os
import tempfile

from pyworkflow.protocol import params

from .. import Plugin, inputs, program
from ..outputs import CLASSES_OUTPUT, Outputs
from .protocol_base import MASK, REFERENCE, STAR, OpusDsdRsProtBase

#: Particles that the program is asked with before a launch: enough for every check but those of the particles themselves.
ASKED_WITH = 64


class OpusDsdRsProtTrain(OpusDsdRsProtBase):
    """Learns how every particle of a consensus refinement differs from the consensus.

    The particles need a projection alignment and a CTF. While it trains, outputParticles has the latents of the last epoch;
    at the end there are clusters (outputClasses), their volumes (outputVolumes) and a report. Stopped, it goes on from the last
    checkpoint with Continue.
    """

    _label = "train"
    _job = "train"
    _possibleOutputs = CLASSES_OUTPUT
    _own = ("maskRadius",)

    def _defineParams(self, form):
        super()._defineParams(form)
        # Beside the mask's switch, where people look for it.
        section = next(s for s in form.iterSections() if "useMask" in s._paramList)
        section.addParam("maskRadius", params.FloatParam, default=None, allowsNull=True, condition="not useMask", label="Mask radius (Å)",
                         help="Without a mask the solvent is found from the consensus map, or a ball of the box is taken. "
                              "A radius makes a ball of that size with a soft edge. The wizard shows it over the particles.")

    def _convertInput(self, folder):
        self._write_input(self.inputParticles.get(), folder)

    def _write_input(self, particles, folder):
        inputs.write_particles(particles, os.path.join(folder, STAR), folder)
        if self._has("inputMask"):
            inputs.write_map(self.inputMask.get(), os.path.join(folder, MASK))
        elif self._ball():
            inputs.write_ball(os.path.join(folder, MASK), particles.getXDim(), particles.getSamplingRate(), self.maskRadius.get())
        if self._has("inputVolume"):
            inputs.write_map(self.inputVolume.get(), os.path.join(folder, REFERENCE))

    def _has(self, name):
        return self.evalParamCondition(name) and getattr(self, name).get() is not None

    def _ball(self):
        return not self.useMask.get() and self.maskRadius.get() is not None

    def _path_of(self, param, pointer, folder):
        if param["type"] == "job":
            return pointer.get().getJobFolder()
        return os.path.join(folder, {"particles": STAR, "mask": MASK, "volume": REFERENCE}[param["type"]])

    def settings(self, folder):
        said = super().settings(folder)
        return dict(said, in_mask=os.path.join(folder, MASK)) if self._ball() else said

    def _outputs_of_job(self):
        folder = self.getJobFolder()
        return Outputs(self, folder, folder, self._getExtraPath(STAR), self.inputParticles)

    def _validate(self):
        errors = self._validateGpu()
        particles = self.inputParticles.get()
        if particles is None:
            return errors
        if not particles.hasAlignmentProj():
            errors.append("*%s*: the particles have no projection alignment; take those of a 3D refinement." % self._label_of("inputParticles"))
        if not particles.hasCTF():
            errors.append("*%s*: the particles have no CTF." % self._label_of("inputParticles"))
        box = particles.getXDim()
        if box and box % 2:
            errors.append("*%s*: the box of %d pixels is odd; crop or pad it to an even one." % (self._label_of("inputParticles"), box))
        radius = self.maskRadius.get()
        if self._ball() and (radius <= 0 or box and radius > box * particles.getSamplingRate() / 2):
            errors.append("*Mask radius*: should be above 0 and up to half of the box, %.1f Å." % (box * particles.getSamplingRate() / 2))
        trained = self.opusDSDTrainingProtocol.get() if self._has("opusDSDTrainingProtocol") else None
        if trained is not None and not os.path.isdir(os.path.join(trained.getJobFolder(), "checkpoint")):
            errors.append("*%s*: that run has no checkpoint yet." % self._label_of("opusDSDTrainingProtocol"))
        return errors or self._ask_the_program(particles)

    def _ask_the_program(self, particles):
        """What the program itself says against these values, asked with a few of the particles."""
        if Plugin.getProgram() is None or inputs.need_conversion(particles):
            return []
        with tempfile.TemporaryDirectory() as folder:
            self._write_input(inputs.first_particles(particles, ASKED_WITH, os.path.join(folder, "few.sqlite")), folder)
            # Where the form is filled in there need not be a GPU.
            settings = {k: v for k, v in self.settings(folder).items() if k != "gpu"}
            said = program.refusal(self._job, dict(settings, device="cpu"), os.path.join(folder, "job"))
        return [said.replace(folder + os.sep, "")] if said else []

    def _warnings(self):
        particles = self.inputParticles.get()
        if particles is None or not self._has("inputMask"):
            return []
        mask = self.inputMask.get()
        extents = [o.getXDim() * o.getSamplingRate() for o in (particles, mask)]
        if abs(extents[0] - extents[1]) > particles.getSamplingRate():
            return ["The mask spans %.1f Å, the particles %.1f Å: is it of the same refinement?" % (extents[1], extents[0])]
        return []

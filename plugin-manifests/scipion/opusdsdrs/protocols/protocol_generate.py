from pwem.objects import SetOfVolumes
from pyworkflow.utils import getListFromRangeString

from ..outputs import VOLUMES, Outputs, star_columns
from .protocol_trained import OfATrainedJob

#: Of these the program takes one.
WHAT = ("zfile", "pc", "particles")


class OpusDsdRsProtGenerate(OfATrainedJob):
    """Volumes from a trained job: along a principal component, at given particles, or at given latents.

    Give the particles of the training, or its run, and one of the three; the trained job is not changed.
    """

    _label = "generate volumes"
    _job = "decode"
    _possibleOutputs = {VOLUMES: SetOfVolumes}

    def _defineParams(self, form):
        super()._defineParams(form)
        # The program counts rows, from 1; here particles have ids.
        form.getParam("particles").config(label="Ids of particles", help="Particles whose latents are decoded, for instance 1,5,10-12.")

    def _setting(self, param, value, folder):
        if param["id"] == "particles":
            row_of = {int(i): row for row, (i,) in enumerate(star_columns(self.getTrainedStar(), "rlnImageId"), start=1)}
            return ",".join(str(row_of[i]) for i in getListFromRangeString(value))
        return super()._setting(param, value, folder)

    def _outputs_of_job(self):
        return Outputs(self, self.getJobFolder(), self.getTrainedFolder(), self.getTrainedStar(), self.getSource(), series_are_volumes=True)

    def _validate(self):
        errors = super()._validate()
        given = [name for name in WHAT if getattr(self, name).get() not in (None, "")]
        labels = ", ".join("*%s*" % self._label_of(name) for name in WHAT)
        if len(given) != 1:
            errors.append("Give one of %s." % labels)
        if not errors and given == ["particles"]:
            errors += self._validate_ids()
        return errors

    def _validate_ids(self):
        try:
            wanted = getListFromRangeString(self.particles.get())
        except ValueError:
            return ["*%s*: give numbers, for instance 1,5,10-12." % self._label_of("particles")]
        there = {int(i) for (i,) in star_columns(self.getTrainedStar(), "rlnImageId")}
        missing = [i for i in wanted if i not in there]
        return ["*%s*: the trained job has no particle %d." % (self._label_of("particles"), missing[0])] if missing else []

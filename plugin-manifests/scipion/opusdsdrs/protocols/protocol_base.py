"""What the three protocols share: a form from the manifest, three steps, outputs from the job's results."""

import json
import os

from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.object import Set

from .. import form, manifest, program
from ..outputs import PARTICLES, VOLUMES

#: Names of the job folder and of what the program is given, in the run's `extra`.
JOB_FOLDER = "job"
STAR, MASK, REFERENCE = "input_particles.star", "input_mask.mrc", "input_volume.mrc"
#: The values that the outputs there are belong to.
VALUES = "values.json"


class OpusDsdRsProtBase(EMProtocol):
    """One job of `opus-dsd` as a protocol; `_job` is its name in the manifest."""

    _label = None
    _devStatus = BETA
    _job = None
    #: Parameters that this plugin adds to the manifest's.
    _own = ()

    # ------------------------------------------------------------- form
    def _defineParams(self, form_):
        form.define(form_, self._job)

    # ------------------------------------------------------------- steps
    def _insertAllSteps(self):
        # Every step has every value: pyworkflow skips a step whose own arguments are the same, whatever was done again before it.
        values = self.canonicalValues()
        self._insertFunctionStep(self.convertInputStep, values, needsGPU=False)
        self._insertFunctionStep(self.runProgramStep, values, needsGPU=True)
        self._insertFunctionStep(self.createOutputStep, values, needsGPU=False)

    def convertInputStep(self, values):
        """Writes the program's input, and takes away outputs of other values."""
        record = self._getExtraPath(VALUES)
        if not os.path.exists(record) or _read(record) != values:
            for name, output in list(self.iterOutputAttributes()):
                self.info("%s was made with other values; it is made anew." % name)
                self.deleteOutput(output)
        self._convertInput(self._getExtraPath())
        with open(record + ".tmp", "w") as file:
            file.write(values)
        os.replace(record + ".tmp", record)

    def runProgramStep(self, values):
        """Runs the job, and shows what it has so far."""
        outputs = self._outputs_of_job()
        program.run(self, manifest.verb(self._job), self.settings(self._getExtraPath()), self.getJobFolder(), outputs.update)

    def createOutputStep(self, values):
        """Closes the outputs with the finished job's results."""
        results = program.read_results(self.getJobFolder())
        if not results or not results["complete"]:
            raise program.ProgramFailed(1, "%s has no complete results" % self.getJobFolder())
        self._outputs_of_job().update(results, complete=True)

    # ------------------------------------------------------------- what a protocol defines
    def _convertInput(self, folder):
        """Writes what the program reads into a folder."""

    def _outputs_of_job(self):
        """The outputs of this run's job."""
        raise NotImplementedError

    def _path_of(self, param, pointer, folder):
        """Path that the program is told for a pointer; None where it is told nothing."""
        raise NotImplementedError

    # ------------------------------------------------------------- values
    def getJobFolder(self):
        """The job's folder, relative to the project."""
        return self._getExtraPath(JOB_FOLDER)

    def settings(self, folder):
        """What the program is told, by the manifest's names, but for the job folder; its input is in `folder`."""
        said = {}
        for param, value in form.shown_values(self, self._job):
            value = self._setting(param, value, folder)
            if value is not None:
                said[param["id"]] = value
        return dict(said, **self._machine())

    def _setting(self, param, value, folder):
        """One value as the program takes it; None where it is told nothing."""
        return self._path_of(param, value, folder) if hasattr(value, "isPointer") else form.setting(param, value)

    def _machine(self):
        if not self.useGpu.get():
            return {"j": self.numberOfThreads.get(), "device": "cpu"}
        # In a queue the job's GPUs are counted from 0; the executor knows.
        executor = getattr(self, "_stepsExecutor", None)
        gpus = (executor.getGpuList() if executor else None) or self.getGpuList()
        return {"j": self.numberOfThreads.get(), "gpu": ",".join(map(str, gpus))}

    def canonicalValues(self):
        """Every value that decides what is done, as JSON that is the same for the same values."""
        values = {"version": 1, "useGpu": self.useGpu.get(), "gpuList": self.gpuList.get(), "numberOfThreads": self.numberOfThreads.get()}
        for param, value in form.shown_values(self, self._job):
            values[param["id"]] = _identity(value) if hasattr(value, "isPointer") else value
        for name in self._own:
            values[name] = self.getAttributeValue(name)
        return json.dumps(values, sort_keys=True)

    def imageFraction(self, trained):
        """Which fraction of the particles' box a trained job works with."""
        with open(os.path.join(trained, "settings.json")) as file:
            size = json.load(file)["settings"]["grid"]["size_px"]
        return size / self.getSource().get().getXDim()

    def getSource(self):
        """Pointer to the particles that the outputs are of."""
        return self.inputParticles

    # ------------------------------------------------------------- what people read
    def _label_of(self, name):
        return self.getParam(name).getLabel()

    def _validateGpu(self):
        if not self.useGpu.get():
            return []
        try:
            gpus = self.getGpuList()
        except ValueError:
            gpus = []
        return [] if gpus else ["*GPU*: give the number of a GPU, for instance 0, or turn the use of GPUs off."]

    def _summary(self):
        results = program.read_results(self.getJobFolder())
        if not results:
            return ["No epoch is done yet."] if self.isActive() else []
        lines = ["Epoch %s, %s latent dimensions" % (results["epoch"], results.get("zdim", "?")) if results.get("epoch") else
                 "%d volumes" % len(results["volumes"])]
        lines += ["Class %s: %d particles" % (v["class"], v["n"]) for v in results["volumes"] if v.get("class") is not None]
        if not results["complete"]:
            lines.append("The job is not complete.")
        return lines

    def _methods(self):
        if not hasattr(self, PARTICLES) and not hasattr(self, VOLUMES):
            return []
        return ["Heterogeneity was analysed with OPUS-DSD [Luo2023], by opus-dsd %s." % self.getPlugin().getActiveVersion()]

    def _citations(self):
        return ["Luo2023"]


def _read(path):
    with open(path) as file:
        return file.read()


def _identity(pointer):
    """What a pointer points at, so that it is another where the object was made anew."""
    found = pointer.get()
    identity = [pointer.getUniqueId()]
    if isinstance(found, Set):
        file = os.stat(found.getFileName())
        identity += [found.getSize(), found.getSamplingRate(), file.st_size, file.st_mtime_ns]
    elif hasattr(found, "getJobFolder"):
        results = os.path.join(found.getJobFolder(), "results.json")
        identity += [os.stat(results).st_mtime_ns] if os.path.exists(results) else []
    elif hasattr(found, "getSamplingRate"):
        file = os.stat(found.getFileName().split(":")[0])
        identity += [found.getSamplingRate(), file.st_size, file.st_mtime_ns]
    return identity

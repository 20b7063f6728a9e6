"""Forms and command lines of Scipion from the manifest."""

import re
import shlex

from pyworkflow.protocol import params
from pyworkflow.protocol.constants import GPU_LIST, LEVEL_ADVANCED, LEVEL_NORMAL, USE_GPU

from . import manifest

#: Threads that the parallel section starts with: it needs a number, and a GPU job wants few.
THREADS = 4
POINTER_CLASSES = {"particles": "SetOfParticles", "volume": "Volume", "mask": "VolumeMask", "job": "OpusDsdRsProtTrain"}
PLAIN = {"int": params.IntParam, "float": params.FloatParam, "bool": params.BooleanParam,
         "file": params.FileParam, "folder": params.FolderParam, "text": params.StringParam}


class Bounds(params.Conditional):
    """Holds a number, or a text that is one, against the manifest's bounds; a blank is left to the program."""

    def __init__(self, param):
        self.low, self.above, self.high = (param.get(k) for k in ("min", "above", "max"))
        words = [w % x for w, x in (("from %s", self.low), ("above %s", self.above), ("up to %s", self.high)) if x is not None]
        super().__init__("should be " + " ".join(words), allowsNull=True)
        self.needed = bool(words)

    def _condition(self, value):
        try:
            number = float(value)
        except (TypeError, ValueError):
            return True
        return ((self.low is None or number >= self.low) and (self.above is None or number > self.above)
                and (self.high is None or number <= self.high))


class OneOf(params.Conditional):
    """Holds a text against a choice that may be left blank."""

    def __init__(self, choices):
        super().__init__("should be one of %s, or blank" % ", ".join(choices), allowsNull=True)
        self._condition = lambda value: value == "" or value in choices


def define(form, job):
    """Adds a job's sections to a form, then the GPU and the threads."""
    by_id = {p["id"]: p for _, shown in manifest.sections(job) for p in shown}
    kinds = {p["type"] for p in by_id.values()}
    if "gpu" in kinds:
        form.addHidden(USE_GPU, params.BooleanParam, default=True, label="Use a GPU?", help="Without, the job runs on the CPU.")
        form.addHidden(GPU_LIST, params.StringParam, default="0", label="GPU", help="Number of the GPU; of several the first is used.")
    for title, shown in manifest.sections(job):
        form.addSection(label=title)
        for param in shown:
            if param["type"] not in ("gpu", "threads"):
                _add(form, param, by_id)
    if "threads" in kinds:
        form.addParallelSection(threads=THREADS, mpi=0)
    _complete_conditions(form)


def _add(form, param, by_id):
    condition = _expression(param.get("when"), by_id)
    gate = param.get("gate")
    if gate:
        if not form.hasParam(gate["name"]):
            form.addParam(gate["name"], params.BooleanParam, default=gate["default"], label=gate["label"], condition=condition,
                          help=param["help"])
        opened = gate["name"] if gate["open"] else "not " + gate["name"]
        condition = "(%s) and %s" % (condition, opened) if condition else opened
    label = param["label"] + (" (%s)" % param["unit"] if param.get("unit") else "")
    about = {"label": label, "help": param["help"], "default": manifest.default(param), "condition": condition,
             "expertLevel": LEVEL_ADVANCED if param.get("level") == "advanced" else LEVEL_NORMAL, "important": param.get("required", False)}
    added = form.addParam(manifest.scipion_name(param), *_class(param, about), **about)
    bounds = Bounds(param)
    if bounds.needed:
        added.addValidator(bounds)


def _class(param, about):
    """The parameter class, and what it needs besides `about`."""
    kind = param["type"]
    if kind in POINTER_CLASSES:
        about["pointerClass"] = POINTER_CLASSES[kind]
        # What a gate opens is needed; a condition that is not met is not validated.
        about["allowsNull"] = not (param.get("required") or param.get("gate"))
        del about["default"]
        return (params.PointerParam,)
    if kind == "choice" and about["default"] is not None:
        about["choices"] = param["choices"]
        about["default"] = param["choices"].index(about["default"])
        return (params.EnumParam,)
    if kind == "choice" or (kind == "bool" and about["default"] is None):
        choices = param["choices"] if kind == "choice" else ["yes", "no"]
        about["help"] += "\nOne of: " + ", ".join(choices) + "; blank: the program decides."
        about["validators"] = [OneOf(choices)]
        return (params.StringParam,)
    if kind in ("int", "float"):
        about["allowsNull"] = True
    return (PLAIN[kind],)


def _expression(when, by_id):
    """A condition of the manifest in the form's Python."""
    if when is None:
        return None
    for word, joint in (("all", " and "), ("any", " or ")):
        if word in when:
            parts = [_expression(w, by_id) for w in when[word]]
            return "(%s)" % joint.join(p for p in parts if p)
    if when["param"] not in by_id:
        # The other one is not in this host's form, so its own default holds.
        return None
    other = by_id[when["param"]]
    name = manifest.scipion_name(other)
    if when.get("given"):
        return "(%s not in (None, ''))" % name
    words = when["is"]
    if other["type"] == "bool":
        return "(%s in %r)" % (name, [w in (True, "yes") for w in words])
    if other["type"] == "choice" and manifest.default(other) is not None:
        return "(%s in %r)" % (name, [other["choices"].index(w) for w in words])
    return "(%s in %r)" % (name, [str(w) for w in words])


def _complete_conditions(form):
    """Lets conditions speak of parameters that stand further down: pyworkflow only knows those above."""
    for name, param in form.iterParams():
        if param.hasCondition():
            for token in re.findall(r"\w+", param.condition.get()):
                if form.hasParam(token) and token not in param._conditionParams:
                    param._conditionParams.append(token)
                    form.getParam(token)._dependants.append(name)


def shown_values(protocol, job):
    """Parameter and value of everything that the form shows and that is not blank; pointers as they are."""
    for _, shown in manifest.sections(job):
        for param in shown:
            name = manifest.scipion_name(param)
            if param["type"] in ("gpu", "threads") or not protocol.evalParamCondition(name):
                continue
            attribute = getattr(protocol, name)
            value = attribute if attribute.isPointer() else attribute.get()
            if (attribute.get() if attribute.isPointer() else value) not in (None, ""):
                yield param, value


def setting(param, value):
    """A form's value as the program takes it."""
    return param["choices"][value] if param["type"] == "choice" and isinstance(value, int) else value


def command_line(settings):
    """Settings as words of a command line."""
    words = []
    for name, value in settings.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        words += ["--" + name, "%.12g" % value if isinstance(value, float) else str(value)]
    return words


def quoted(words):
    """One shell line; pyworkflow's own quoting leaves `$` and back-quotes to the shell."""
    return " ".join(shlex.quote(w) for w in words)

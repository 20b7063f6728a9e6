"""Job options from the manifest's parameters, and command lines from job options."""

import math
from typing import Any, Dict, List, Optional

from pipeliner.data_structure import NODE_DENSITYMAP, NODE_MASK3D, NODE_PARTICLEGROUPMETADATA
from pipeliner.job_options import (
    EXT_MRC_MAP,
    EXT_STARFILE,
    BooleanJobOption,
    DirPathJobOption,
    ExternalFileJobOption,
    FileDescription,
    FloatJobOption,
    InputNodeJobOption,
    IntJobOption,
    JobOption,
    MultipleChoiceJobOption,
    StringJobOption,
)
from pipeliner.pipeliner_job import PipelinerJob

from .conditions import AUTOMATIC, active, blank_of, inactive, key
from .manifest import ManifestError, default, shown

#: Input that a continued job cannot change: it goes on with the particles that it was begun with.
INPUTS = ("particles", "volume", "mask")
#: Node type and file names of an input, by the manifest's type.
NODES = {
    "particles": (NODE_PARTICLEGROUPMETADATA, FileDescription("Particles STAR file", EXT_STARFILE)),
    "volume": (NODE_DENSITYMAP, FileDescription("MRC map", EXT_MRC_MAP)),
    "mask": (NODE_MASK3D, FileDescription("MRC mask", EXT_MRC_MAP)),
}
#: Types that are plain text to this host.
TEXTS = ("text", "gpu", "job")


def job_options(entry: Dict[str, Any], keywords: Dict[str, List[str]]) -> Dict[str, JobOption]:
    """Job options of a job, but those that the host makes itself (threads, queue).

    Args:
        entry: The job in the manifest.
        keywords: Of the nodes that an input takes, by the parameter's id.

    Raises:
        ManifestError: A parameter cannot be shown.
    """
    params = {param["id"]: param for param in shown(entry)}
    first = next(iter(params.values()))["section"]
    options = {}
    for param in params.values():
        if param["type"] != "threads":
            group = "Main" if param["section"] == first else param["section"]
            if param["level"] == "advanced":
                group = "Advanced input" if group == "Main" else f"{group}, advanced"
            changes = entry["resumable"] and param["type"] not in INPUTS and not param.get("fixed_on_continue")
            common = {"label": _label(param), "help_text": _help(param), "in_continue": changes, "jobop_group": group}
            options[key(param)] = _option(param, params, common, keywords.get(param["id"], []))
    return options


def _label(param: Dict[str, Any]) -> str:
    return f"{param['label']} ({param['unit']})" if param.get("unit") else str(param["label"])


def _help(param: Dict[str, Any]) -> str:
    """The help, what each choice means, and what holds where nothing is said."""
    lines = [param["help"]]
    lines += [f"{choice}: {meaning}" for choice, meaning in zip(param.get("choices", []), param.get("choices_help", []))]
    if param.get("automatic"):
        word = f'"{AUTOMATIC}"' if param["type"] in ("bool", "choice") else "blank"
        lines.append(f"Left {word}: {param['automatic']}")
    return "\n".join(lines)


def _option(param: Dict[str, Any], params: Dict[str, Any], common: Dict[str, Any], keywords: List[str]) -> JobOption:
    kind, when, value = param["type"], param.get("when"), default(param)
    if when:
        common["deactivate_if"] = inactive(when, params)
    if kind == "bool" and value is not None:
        return BooleanJobOption(default_value=bool(value), **common)
    if kind in ("bool", "choice"):
        choices = ["yes", "no"] if kind == "bool" else list(param["choices"])
        choices = choices if value is not None else [AUTOMATIC, *choices]
        return MultipleChoiceJobOption(choices=choices, default_value=choices[0] if value is None else value, **common)
    if param["required"]:
        common["required_if" if when else "is_required"] = active(when, params) if when else True
    if kind in ("int", "float"):
        return _number(param, value, common)
    text = "" if value is None else str(value)
    if kind in NODES:
        node_type, pattern = NODES[kind]
        return InputNodeJobOption(node_type=node_type, node_kwds=keywords, pattern=pattern, default_value=text, **common)
    if kind == "file":
        return ExternalFileJobOption(default_value=text, **common)
    if kind == "folder":
        # It may be on the machine that a queue chooses.
        return DirPathJobOption(default_value=text, must_exist=False, **common)
    if kind in TEXTS:
        return StringJobOption(default_value=text, **common)
    raise ManifestError(f"`{param['id']}` is of a type that this host does not know: `{kind}`")


def _number(param: Dict[str, Any], value: Any, common: Dict[str, Any]) -> JobOption:
    low, high, above = param.get("min"), param.get("max"), param.get("above")
    if param["type"] == "int":
        low = math.floor(above) + 1 if low is None and above is not None else low
        return IntJobOption(default_value=value, hard_min=_int(low), hard_max=_int(high), **common)
    low = above if low is None else low
    return FloatJobOption(default_value=value, hard_min=low, hard_max=high, step_value=_step(value, high), **common)


def _int(value: Optional[float]) -> Optional[int]:
    return None if value is None else int(value)


def _step(value: Optional[float], high: Optional[float]) -> float:
    """A step of the form's arrows: the power of ten below the default, else a tenth of what is at most one."""
    if value:
        return 10.0 ** math.floor(math.log10(abs(value)))
    return 0.1 if high is not None and high <= 1 else 1.0


def arguments(entry: Dict[str, Any], job: PipelinerJob) -> List[str]:
    """The command line of a job but its folder: what is filled in and has a meaning."""
    words: List[str] = []
    for param in shown(entry):
        option = job.joboptions[key(param)]
        if option.is_blank or option.value == AUTOMATIC == blank_of(param):
            continue
        if job.check_joboption_is_now_deactivated(key(param)):
            continue
        value = option.get_string()
        words += [param["option"], value.lower() if param["type"] == "bool" else value]
    return words


def out_of_bounds(entry: Dict[str, Any], job: PipelinerJob) -> Dict[str, str]:
    """What the host's own bounds, which are inclusive, let through: option's name, what is wrong with it."""
    found = {}
    for param in shown(entry):
        above, value = param.get("above"), job.joboptions[key(param)].value
        if above is not None and isinstance(value, (int, float)) and value <= above:
            found[key(param)] = f"Value must be above {above}"
    return found

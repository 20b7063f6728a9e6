"""The manifest's conditions as the host's: flat lists of comparisons, of which any or all must hold."""

from typing import Any, Dict, List, Tuple

from pipeliner.job_options import ConditionType, JobOptionCondition

from .manifest import ManifestError, default

#: What the host keeps in an option that is left blank, by the parameter's type; a text otherwise.
BLANK = {"int": None, "float": None}
#: Word of a choice by which nothing is said, so that the program decides.
AUTOMATIC = "automatic"

Flat = Tuple[str, List[ConditionType]]


def active(when: Dict[str, Any], params: Dict[str, Dict[str, Any]]) -> JobOptionCondition:
    """Holds where a parameter with this condition has a meaning."""
    return _made(_flat(when, params, True))


def inactive(when: Dict[str, Any], params: Dict[str, Dict[str, Any]]) -> JobOptionCondition:
    """Holds where a parameter with this condition has no meaning."""
    return _made(_flat(when, params, False))


def _made(flat: Flat) -> JobOptionCondition:
    operation, comparisons = flat
    return JobOptionCondition(comparisons, operation=operation)  # type: ignore[arg-type]


def _flat(when: Dict[str, Any], params: Dict[str, Dict[str, Any]], wanted: bool) -> Flat:
    for word, operation in (("all", "ALL" if wanted else "ANY"), ("any", "ANY" if wanted else "ALL")):
        if word in when:
            return _joined([_flat(part, params, wanted) for part in when[word]], operation)
    param = params[when["param"]]
    name, blank = key(param), blank_of(param)
    if "given" in when:
        return "ALL", [(name, "!=" if when["given"] == wanted else "=", blank)]
    values = [_value(param, word) for word in when["is"]]
    if wanted:
        return "ANY", [(name, "=", value) for value in values]
    if blank is not None:
        return "ALL", [(name, "!=", value) for value in values]
    # The host takes every comparison with a blank number for false.
    if len(values) == 1:
        return "ANY", [(name, "=", None), (name, "!=", values[0])]
    raise ManifestError(f"a condition on several values of the number `{param['id']}` cannot be shown")


def _joined(parts: List[Flat], operation: str) -> Flat:
    comparisons: List[ConditionType] = []
    for inner, part in parts:
        if inner != operation and len(part) > 1:
            raise ManifestError(f"a condition that mixes `any` and `all` cannot be shown: {parts}")
        comparisons.extend(part)
    return operation, comparisons


def _value(param: Dict[str, Any], word: Any) -> Any:
    if param["type"] == "bool":
        yes = word in (True, "yes")
        # A switch that has an automatic position is a choice.
        return ("yes" if yes else "no") if default(param) is None else yes
    return {"int": int, "float": float}.get(param["type"], str)(word)


def blank_of(param: Dict[str, Any]) -> Any:
    """The value by which a parameter says nothing."""
    if param["type"] in ("choice", "bool"):
        return AUTOMATIC
    return BLANK.get(param["type"], "")


def key(param: Dict[str, Any]) -> str:
    """A parameter's name among the host's job options."""
    # The host makes the option of threads itself, and its queue templates know it by this name.
    return "nr_threads" if param["type"] == "threads" else param.get("names", {}).get("ccpem", param["id"])

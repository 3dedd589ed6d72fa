"""The faults of an experiment or a study, described in one error."""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fedsim import plugins
from fedsim.errors import joined_faults, listed, shown


class FaultsError(ValueError):
    """Several faults that one validator found, for `faults_in` to take apart again."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(joined_faults(self.faults))


def faults_in(
    error: ValidationError, schema: type[BaseModel], only: Sequence[ErrorDetails] | None = None
) -> list[str]:
    """Return what is wrong with data of type `schema`, and which keys would be valid.

    Unknown keys come first: a misspelt key often explains one that is missing. With `only`, some of
    the error's details are reported.
    """
    details = error.errors(include_url=False) if only is None else only
    errors = sorted(details, key=lambda one: one["type"] != "extra_forbidden")
    return list(dict.fromkeys(fault for one in errors for fault in _in_words(one, schema)))


def _in_words(error: ErrorDetails, schema: type[BaseModel]) -> Sequence[str]:
    # pydantic puts the branch of a union in round brackets, and "[key]" after a mapping's bad key.
    location = [part for part in error["loc"] if str(part)[:1] not in ("(", "[")]
    where = ".".join(map(str, location)) or f"the {schema.__name__.lower()}"
    if error["type"] == "extra_forbidden":
        valid = plugins.valid_keys(schema, error["loc"][:-1])
        return (f"unknown key {where!r}; valid keys there: {listed(valid)}",)
    if error["type"] == "missing":
        return (f"key {where!r} is missing",)
    if error["type"] == "value_error":
        reason = error["ctx"]["error"]
        return reason.faults if isinstance(reason, FaultsError) else (str(reason),)
    return (f"{where} is {shown(error['input'])}: {error['msg'][0].lower()}{error['msg'][1:]}",)

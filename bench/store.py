"""The figures as JSON: a report can be made again from them, and parts of two runs joined."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import measure

FORM = 1


@dataclass(frozen=True)
class Told:
    """A tool as the report knows it: what it is called, not how it is started."""
    key: str
    label: str
    synced: bool
    held_to: str
    command: str

    def is_alike(self):
        return self.key.startswith("alike")


class Unfit(Exception):
    """The two files of figures do not belong together; the text says why."""


# ---- rows to JSON and back ----

def freeze(value):
    """Rows become plain words and numbers, wherever in a part they are."""
    if isinstance(value, measure.Row):
        tool = value.tool
        told = Told(tool.key, tool.label, tool.synced, tool.held_to, tool.command())
        runs = [{**asdict(run), "output": ""} for run in value.runs]
        return {"tool": asdict(told), "runs": runs, "wrong": value.wrong}
    if isinstance(value, dict):
        return {key: freeze(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [freeze(inner) for inner in value]
    return value


def thaw(value):
    if isinstance(value, dict):
        if value.keys() == {"tool", "runs", "wrong"}:
            return measure.Row(Told(**value["tool"]), [measure.Run(**run) for run in value["runs"]], value["wrong"])
        return {key: thaw(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [thaw(inner) for inner in value]
    return value


# ---- files ----

def write(path, results):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    measure.say(f"wrote {path.name}")


def read(path):
    try:
        results = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise Unfit(f"{path} cannot be read: {error}") from error
    if not isinstance(results, dict) or results.get("form") != FORM:
        raise Unfit(f"{path} holds no figures of this bench/run")
    return results


def must_fit(old, new):
    """Both must speak of one machine, one program and one tree."""
    for what, before, now in [
        ("machine", old["machine"], new["machine"]),
        ("alike", old["versions"].get("alike"), new["versions"].get("alike")),
        ("size (--quick)", old["quick"], new["quick"]),
    ]:
        if before != now:
            raise Unfit(f"the earlier figures are of another {what}: {before}, now {now}")
    if old["tree"] and new["tree"] and old["tree"] != new["tree"]:
        raise Unfit(f"the earlier figures are of another tree: {old['tree']}, now {new['tree']}")


def merge(old, new):
    """The earlier run with the parts of the new one in their place."""
    must_fit(old, new)
    return {**new, "tree": new["tree"] or old["tree"], "parts": {**old["parts"], **new["parts"]},
            "versions": {**old["versions"], **new["versions"]}}


def build_of(program):
    """Tells two builds of one version apart."""
    return hashlib.sha256(Path(program).read_bytes()).hexdigest()[:12]

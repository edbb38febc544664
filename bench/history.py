"""What was done is asked of `alike log`: a million files were made, and then each was given new contents."""

import os

import measure
import nothing
import program
import trees
from words import milliseconds, table

ASKED = 10
# Of a pass that wrote each file anew: the old files are in the trash.
COPIES = 4


def history(bench, args, _source):
    sizes = bench.sizes
    files = sizes.many_folders * sizes.many_each
    with bench.disk.place("ext4", room=files * nothing.BYTES_A_FILE * COPIES, inodes=files * COPIES + 100_000) as place:
        inner = bench.at(place)
        source, replica, state = inner.work / "source", inner.fresh("replica"), inner.fresh_state()
        measure.say(f"history: making {files:,} files")
        trees.flat(source, sizes.many_folders, sizes.many_each)
        found = {"files": files, "wrong": "", "asked": []}
        for what in ["made", "written anew"]:
            if found["asked"]:
                trees.write_anew(source)
            argv = [args.alike.resolve(), "once", "-q", "--sync", "none", "--state-dir", state, source, replica]
            found["wrong"] = measure.fault(measure.Child(argv, inner.work / "once.log").wait(), source, replica,
                                           measure.EVERYTHING, every_byte=False)
            if found["wrong"]:
                break
            found["asked"].append({"after": what, "journals": journals(replica), "questions": asked(args, state, replica)})
    return found


def journals(replica):
    return sum(journal.stat().st_size for journal in (replica / ".alike/trash").glob("*/journal"))


def asked(args, state, replica):
    """Each question, and the median, least and most of the seconds that its answer took."""
    folder = sorted(path.name for path in replica.iterdir() if path.name != ".alike")[-1]
    file = sorted(os.listdir(replica / folder))[-1]
    questions = {
        "the last 20": ["--last", "20"],
        "a path": ["--path", f"{folder}/{file}"],
        "a pattern": ["--path", f"*{file[-5:]}", "--last", "20"],
        "a kind of action": ["--action", "mkdir"],
        "a pass": ["--pass", "1", "--action", "mkdir"],
        "the last hour, as JSON": ["--since", "1h", "--path", folder, "--last", "20", "--json"],
    }
    found = {}
    for name, words in questions.items():
        argv = [os.fspath(word) for word in
                [args.alike.resolve(), "log", "--state-dir", state, *words, replica]]
        program.once(argv)
        found[name] = {"words": words} | program.starting(argv, ASKED)
    return found


def section(part):
    lines = [f"## Questions to a history of {part['files']:,} files", ""]
    if part["wrong"]:
        return "\n".join([*lines, f"Wrong, and so without figures: {part['wrong']}."])
    lines += [f"`alike log` from start to end, output thrown away: {ASKED} times, after one that does not count."]
    for one in part["asked"]:
        rows = [[f"{name}: `{' '.join(found['words'])}`", *[milliseconds(found[what]) for what in ("median", "fastest", "slowest")]]
                for name, found in one["questions"].items()]
        lines += ["", f"After each file was {one['after']}, journals of {one['journals'] / 1e6:.0f} MB:", "",
                  *table(["question", "median", "fastest", "slowest"], *rows)]
    return "\n".join(lines)

"""Where our time goes, from the events that `neon-migrate copy --output json` tells (docs/guide/json.md)."""

import json
from datetime import datetime

# How many of the longest tables and builds are shown.
LONGEST = 8


def seconds(at):
    """A time of ours (UTC, up to nine digits after the point) as seconds."""
    return datetime.fromisoformat(at.rstrip("Z")[:26]).timestamp()


def profile(lines):
    """Spans, in seconds from the first event: phases, steps, tables from first row to last, builds, and when the snapshot was given up."""
    events = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    events = [event for event in events if event["event"] != "progress"]
    if not events:
        return {}
    zero = seconds(events[0]["at"])
    open_spans, spans, names, titles, told = {}, [], {}, {}, {"bytes": 0, "rows": 0}
    for event in events:
        at, kind = seconds(event["at"]) - zero, event["event"]
        if kind == "plan_made":
            names.update({table["id"]: table["name"] for table in event["tables"]})
        elif kind in ("phase_started", "step_started"):
            what = kind.partition("_")[0]
            open_spans[what, event[what]] = at
        elif kind in ("phase_finished", "step_finished"):
            what = kind.partition("_")[0]
            spans.append((what, event[what], open_spans.pop((what, event[what]), at), at))
        elif kind == "build_started":
            open_spans["build", event["id"]] = at
            titles[event["id"]] = f"{event['kind'].lower()} {event['name']}"
        elif kind == "build_finished":
            spans += [("build", titles[id], open_spans.pop(("build", id)), at) for id in event["ids"] if ("build", id) in open_spans]
        elif kind == "table" and event["state"] == "copying":
            open_spans.setdefault(("table", event["id"]), at)
        elif kind == "table" and event["state"] == "copied":
            told = {"bytes": told["bytes"] + event["bytes"], "rows": told["rows"] + event["rows"]}
            spans.append(("table", names.get(event["id"], str(event["id"])), open_spans.pop(("table", event["id"]), at), at))
        elif kind == "table_verified":
            spans.append(("verified", event["result"]["name"], at, at))
        elif kind == "snapshot_released":
            spans.append(("snapshot given up", "", at, at))
    return {"bytes": told["bytes"], "rows": told["rows"], "total_s": seconds(events[-1]["at"]) - zero,
            "spans": [{"what": what, "name": name, "from_s": round(start, 3), "to_s": round(end, 3)} for what, name, start, end in spans]}


def text(profile):
    """The same for people: phases, steps and milestones in their order, and the longest tables and builds."""
    spans = profile["spans"]
    took = lambda span: span["to_s"] - span["from_s"]
    line = lambda span: f"  {span['from_s']:8.2f} – {span['to_s']:7.2f}  {took(span):7.2f} s  {span['what']} {span['name']}"
    lines = [f"where our time goes ({profile['rows']:,} rows, {profile['bytes'] / 2**20:.0f} MiB as they travelled):"]
    lines += [line(span) for span in sorted(spans, key=lambda span: (span["from_s"], -span["to_s"])) if span["what"] in ("phase", "step", "snapshot given up")]
    for what in ("table", "build"):
        longest = sorted((span for span in spans if span["what"] == what), key=took, reverse=True)[:LONGEST]
        lines += [line(span) for span in sorted(longest, key=lambda span: span["from_s"])]
    last = max((span["to_s"] for span in spans if span["what"] == "verified"), default=None)
    if last is not None:
        lines.append(f"  the last table was compared at {last:.2f} s")
    return "\n".join(lines)

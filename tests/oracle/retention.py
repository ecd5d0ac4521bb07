#!/usr/bin/env python3
"""A second opinion on retention: reads {"cases": [...]} and prints the kept ids of each case.

Written from the rules in docs, not from the program. Standard library only; the zones come from the
system's tzdata, or else from the tzdata package of PyPI. Times are seconds since 1970."""
import calendar, collections, json, sys
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

KEYS = {"hourly": lambda d: d.strftime("%Y%m%d%H%z"), "daily": lambda d: d.date(),
        "weekly": lambda d: d.isocalendar()[:2], "monthly": lambda d: (d.year, d.month),
        "yearly": lambda d: d.year}

def ago(moment, span, zone):
    months, seconds = span
    if months:
        local = datetime.fromtimestamp(moment, zone)
        year, month = divmod(local.year * 12 + local.month - 1 - months, 12)
        day = min(local.day, calendar.monthrange(year, month + 1)[1])
        moment = local.replace(year=year, month=month + 1, day=day, fold=0).timestamp()
    return int(moment) - seconds

def taken(snapshot, now):
    limit = now if snapshot["stored"] is None else snapshot["stored"]
    return limit if snapshot["captured"] - limit > 300 else snapshot["captured"]

def keep_group(group, policy, now, zone):
    group = sorted(group, key=lambda s: (taken(s, now), s["id"]), reverse=True)
    protected = set()
    for s in group:
        age_from = taken(s, now) if s["stored"] is None else s["stored"]
        if s["held"] or ("min" in policy and age_from > ago(now, policy["min"], zone)):
            protected.add(s["id"])
    proven = next((s for s in group if s["proven"] and not s["flawed"]), None)
    if "max" in policy:
        oldest = ago(now, policy["max"], zone)
        group = [s for s in group if s["id"] in protected or taken(s, now) >= oldest]
    if not group:
        return set()
    whole = [s for s in group if not s["flawed"]]
    newest = (whole or group)[0]
    kept = protected | {newest["id"]} | {s["id"] for s in group if s is proven}
    rules = policy.get("counts", {}), policy.get("within", {}), policy.get("tags", [])
    if policy.get("forever") or not any((any(rules[0].values()), rules[1], rules[2])):
        return {s["id"] for s in group}
    for s in group:
        if any(k in s["tags"] and v in (None, s["tags"][k]) for k, v in rules[2]):
            kept.add(s["id"])
    local = {s["id"]: datetime.fromtimestamp(taken(s, now), zone) for s in group}
    for period in ["last", *KEYS]:
        key = (lambda s: s["id"]) if period == "last" else (lambda s: KEYS[period](local[s["id"]]))
        best, every = {}, {}
        for s in whole:
            best.setdefault(key(s), s)
        for s in group:
            every.setdefault(key(s), s)
        count = rules[0].get(period, 0)
        kept |= {s["id"] for s in list(best.values())[:count]}
        kept |= {s["id"] for k, s in list(every.items())[:count] if k not in best}
        if period in rules[1]:
            since = ago(taken(newest, now), rules[1][period], zone)
            kept |= {s["id"] for s in ({**every, **best}).values() if taken(s, now) >= since}
    return kept

def keep(case):
    groups = collections.defaultdict(list)
    for s in case["snapshots"]:
        groups[tuple(s[field] for field in case["group_by"])].append(s)
    zone = ZoneInfo(case["zone"])
    return sorted(i for g in groups.values() for i in keep_group(g, case["policy"], case["now"], zone))

try:
    almaty = ZoneInfo("Asia/Almaty").utcoffset(datetime(2025, 1, 1)).seconds
except ZoneInfoNotFoundError:
    sys.exit("python3 has no time zones: apt install tzdata, or pip install tzdata")
if almaty != 5 * 3600:
    sys.exit("the time zones are older than 2024a: apt install tzdata, or pip install -U tzdata")
json.dump([keep(case) for case in json.load(sys.stdin)["cases"]], sys.stdout)

"""What thirty days of the example's jobs must leave behind, told from the list of injections alone.

Reads {"days", "start", "injections": [{"day", "kind"}]} and writes {"alerts", "kept", "audit"}: lines,
sorted. Shares nothing with icecore but what its documentation promises. A day runs
    02:00 secrets (days 0 and 12)   03:00 nightly -> local   04:30 offsite -> offsite
    05:00 a drill of nightly, on Sundays
"""
import json
import sys
from datetime import date, datetime, timedelta

SOURCES = {"nightly": ["db", "app"], "offsite": ["db", "app"], "secrets": ["secrets"]}
PLACES = {"nightly": ["local"], "offsite": ["offsite"], "secrets": ["local", "offsite"]}
FILES = {"db": "app.db", "app": "app", "secrets": ".env"}
HOUR = {"secrets": (2, 0), "nightly": (3, 0), "offsite": (4, 30), "drill": (5, 0)}
DUE = {"nightly": (3, 0), "offsite": (4, 0)}
GOAL = timedelta(hours=25)
LATE = timedelta(minutes=15)
LOOKED_BACK = 14
JUMP = timedelta(days=40)


class Days:
    def __init__(self, asked):
        self.start = date.fromisoformat(asked["start"])
        self.days = asked["days"]
        self.injected = {one["day"]: one["kind"] for one in asked["injections"]}
        self.taken = {}          # (place, source) -> moments
        self.failed = set()      # jobs whose last recorded run failed
        self.last = {}           # job -> when its last recorded run began
        self.drilled = []        # moments
        self.open = set()        # conditions that were told and are not over
        self.alerts, self.audit = [], []

    def moment(self, day, what):
        at = datetime.combine(self.start + timedelta(days=day), datetime.min.time())
        return at + timedelta(hours=HOUR[what][0], minutes=HOUR[what][1])

    def run(self, day, job, kind):
        at = self.moment(day, job) - (JUMP if kind == "clock-jump" else timedelta())
        if kind == "killed" and job == "nightly":
            return
        gone = kind == "store-down" and job == "offsite"
        refuses = kind == "store-refuses" and job == "nightly"
        lost = ["db"] if kind == "source-down" else []
        for source in SOURCES[job]:
            # Nothing is written where nothing is; what cannot be looked at is a failure that is told.
            if gone:
                continue
            first = PLACES[job][0]
            ended = "error" if refuses or source in lost else "success"
            self.audit.append(f"{first} {at.date()} {FILES[source]} {ended}")
            if ended == "success":
                for place in PLACES[job]:
                    self.taken.setdefault((place, source), []).append(at)
        self.last[job] = at
        wrong = gone or refuses or any(source in lost for source in SOURCES[job])
        (self.failed.add if wrong else self.failed.discard)(job)
        self.judge(day, job, at, {"offsite"} if gone else set())

    def judge(self, day, job, now, away):
        found = {("unreachable", place) for place in away}
        for own, sources in SOURCES.items():
            for source in sources:
                places = [place for place in PLACES[own] if place not in away]
                found |= self.of_source(own, source, places, now)
        found |= {("failed", own) for own in self.failed}
        for own, (hour, minute) in DUE.items():
            if own in self.last:
                due = self.next(min(self.last[own], now), hour, minute)
                if due + LATE < now:
                    found.add(("missed", own))
        for state, these in [("problem", found - self.open), ("resolved", self.open - found)]:
            self.alerts += [f"{day} {job} {what} {whom} {state}" for what, whom in these]
        self.open = found

    @staticmethod
    def next(after, hour, minute):
        due = after.replace(hour=hour, minute=minute)
        return due if due > after else due + timedelta(days=1)

    def of_source(self, job, source, places, now):
        taken = [at for place in places for at in self.taken.get((place, source), [])]
        if not taken:
            return {("no-snapshot", source)}
        found, newest = set(), max(taken)
        if newest > now:
            found.add(("clock", source))
        if job == "secrets":
            return found
        if now - newest > GOAL:
            found.add(("stale", source))
        # A proof that is still to come proves nothing.
        if job == "nightly" and not any(at <= now for at in self.drilled):
            found.add(("never-drilled", source))
        if job == "nightly" and newest > now:
            found.add(("not-verified", source))
        days = {at.date() for at in taken}
        for back in range(1, LOOKED_BACK + 1):
            at = newest.date() - timedelta(days=back)
            if at > min(days) and at not in days:
                found.add(("missing-day", f"{source}@{at}"))
        return found

    def all(self):
        for day in range(self.days):
            kind = self.injected.get(day)
            if day in (0, 12):
                self.run(day, "secrets", None)
            self.run(day, "nightly", kind)
            self.run(day, "offsite", kind)
            if (self.start + timedelta(days=day)).weekday() == 6:
                self.drilled.append(self.moment(day, "drill"))
        kept = {
            f"{place} {at.date()} {FILES[source]}"
            for (place, source), taken in self.taken.items()
            for at in taken
        }
        return {
            "alerts": sorted(self.alerts),
            "kept": sorted(kept),
            "audit": sorted(self.audit),
        }


if __name__ == "__main__":
    json.dump(Days(json.load(sys.stdin)).all(), sys.stdout)

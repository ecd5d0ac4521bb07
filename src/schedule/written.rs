//! Calendars as others write them: a cron line's five fields, systemd's calendar events.

use crate::schedule::{Calendar, Schedule};
use std::time::Duration;

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// What systemd's timer fires at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timer {
    /// Any of these calendar events, without a zone.
    Calendar(Vec<String>),
    /// So long after the last run began.
    Every(Duration),
}

impl Schedule {
    /// As the five fields of a cron line; `None` where they cannot say it.
    pub fn as_cron(&self) -> Option<String> {
        match self {
            Self::Calendar(calendar) => Some(calendar.as_cron()),
            Self::Every(every) => every_as_cron(*every),
            Self::OnChange => None,
        }
    }

    /// As systemd's timers say it; `None` where they cannot.
    pub fn as_timer(&self) -> Option<Timer> {
        match self {
            Self::Calendar(calendar) => Some(Timer::Calendar(calendar.as_events())),
            Self::Every(every) => Some(Timer::Every(*every)),
            Self::OnChange => None,
        }
    }
}

/// Only what divides an hour or a day comes round evenly.
fn every_as_cron(every: Duration) -> Option<String> {
    let seconds = every.as_secs();
    let minutes = seconds / 60;
    match (seconds % 60, minutes) {
        (0, 1) => Some("* * * * *".to_owned()),
        (0, 60) => Some("0 * * * *".to_owned()),
        (0, 1440) => Some("0 0 * * *".to_owned()),
        (0, 1..60) if 60u64.is_multiple_of(minutes) => Some(format!("*/{minutes} * * * *")),
        (0, 61..1440) if minutes.is_multiple_of(60) && 1440u64.is_multiple_of(minutes) => {
            Some(format!("0 */{} * * *", minutes / 60))
        }
        _ => None,
    }
}

impl Calendar {
    fn as_cron(&self) -> String {
        let days = u64::from(self.days);
        let weekdays = u64::from(self.weekdays);
        // With both restricted, a star in one of them says that both must fit.
        let both = !self.either_day && !is_all(days, 1, 31) && !is_all(weekdays, 0, 6);
        let day = list(days, 1, 31);
        let weekday = list(weekdays, 0, 6);
        let (day, weekday) = match both.then(|| (steps(days, 1, 31), steps(weekdays, 0, 6))) {
            Some((Some(day), _)) => (day, weekday),
            Some((None, Some(weekday))) => (day, weekday),
            _ => (day, weekday),
        };
        let hours = u64::from(self.hours);
        let hour = self.hours_pass.then(|| steps(hours, 0, 23)).flatten();
        format!(
            "{} {} {day} {} {weekday}",
            list(self.minutes, 0, 59),
            hour.unwrap_or_else(|| list(hours, 0, 23)),
            list(u64::from(self.months), 1, 12),
        )
    }

    fn as_events(&self) -> Vec<String> {
        let (days, weekdays) = (u64::from(self.days), u64::from(self.weekdays));
        let month = listed(u64::from(self.months), 1, 12, two);
        let hour = listed(u64::from(self.hours), 0, 23, two);
        let minute = listed(self.minutes, 0, 59, two);
        let event = |days: u64, weekdays: u64| {
            let weekday = match is_all(weekdays, 0, 6) {
                true => String::new(),
                false => format!(
                    "{} ",
                    listed(weekdays, 0, 6, |day| WEEKDAYS[day as usize].to_owned())
                ),
            };
            let day = listed(days, 1, 31, two);
            format!("{weekday}*-{month}-{day} {hour}:{minute}:00")
        };
        match self.either_day {
            false => vec![event(days, weekdays)],
            true => vec![event(days, u64::MAX), event(u64::MAX, weekdays)],
        }
    }
}

fn numbers(bits: u64, low: u32, high: u32) -> impl Iterator<Item = u32> {
    (low..=high).filter(move |number| bits >> number & 1 == 1)
}

fn is_all(bits: u64, low: u32, high: u32) -> bool {
    (low..=high).all(|number| bits >> number & 1 == 1)
}

fn two(number: u32) -> String {
    format!("{number:02}")
}

fn listed(bits: u64, low: u32, high: u32, write: fn(u32) -> String) -> String {
    match is_all(bits, low, high) {
        true => "*".to_owned(),
        false => numbers(bits, low, high)
            .map(write)
            .collect::<Vec<_>>()
            .join(","),
    }
}

fn list(bits: u64, low: u32, high: u32) -> String {
    listed(bits, low, high, |number| number.to_string())
}

/// The same as `*/N`, where it is that.
fn steps(bits: u64, low: u32, high: u32) -> Option<String> {
    let is_step = |step: &u32| {
        (low..=high).all(|number| (bits >> number & 1 == 1) == (number - low).is_multiple_of(*step))
    };
    let step = (1..=high).find(is_step)?;
    Some(match step {
        1 => "*".to_owned(),
        step => format!("*/{step}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Timer;
    use crate::schedule::Schedule;
    use std::time::Duration;

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap()
    }

    #[test]
    fn cron_means_the_same_when_it_is_read_again() {
        for (text, cron) in [
            ("daily 03:00", "0 3 * * *"),
            ("Sun 03:05", "5 3 * * 0"),
            ("monthly 1 03:00", "0 3 1 * *"),
            ("*/20 9-11 * * mon-fri", "0,20,40 9,10,11 * * 1,2,3,4,5"),
            ("0 */6 * * *", "0 */6 * * *"),
            ("0 0 13 * fri", "0 0 13 * 5"),
            ("0 0 */2 * mon", "0 0 */2 * 1"),
            ("0 0 1-7 * */2", "0 0 1,2,3,4,5,6,7 * */2"),
            ("every 6h", "0 */6 * * *"),
            ("every 15m", "*/15 * * * *"),
            ("every 1d", "0 0 * * *"),
            ("every 1h", "0 * * * *"),
        ] {
            let schedule = schedule(text);
            let written = schedule.as_cron().unwrap();
            assert_eq!(written, cron, "{text}");
            if !text.starts_with("every") {
                let again = self::schedule(&written);
                assert_eq!(again.as_timer(), schedule.as_timer(), "{text}");
                assert_eq!(again.as_cron().unwrap(), cron, "{text}");
            }
        }
        for text in [
            "every 7h",
            "every 90s",
            "every 45m",
            "every 2d",
            "on-change",
        ] {
            assert_eq!(schedule(text).as_cron(), None, "{text}");
        }
    }

    #[test]
    fn events_of_a_day_or_a_weekday_are_two() {
        let events = |text: &str| match schedule(text).as_timer() {
            Some(Timer::Calendar(events)) => events,
            other => panic!("{other:?}"),
        };
        assert_eq!(events("daily 03:00"), ["*-*-* 03:00:00"]);
        assert_eq!(
            events("*/20 9 * jan mon,fri"),
            ["Mon,Fri *-01-* 09:00,20,40:00"]
        );
        assert_eq!(
            events("0 0 13 * fri"),
            ["*-*-13 00:00:00", "Fri *-*-* 00:00:00"]
        );
        assert_eq!(events("hourly"), ["*-*-* *:00:00"]);
        let every = Timer::Every(Duration::from_secs(25_200));
        assert_eq!(schedule("every 7h").as_timer(), Some(every));
        assert_eq!(schedule("on-change").as_timer(), None);
    }
}

//! What is to be kept, and whether it can be meant.

use crate::env::Timestamp;
use crate::selector::TagPattern;
use crate::units::Span;
use jiff::tz::TimeZone;
use std::fmt;
use std::str::FromStr;

/// Stretches of time of which one snapshot is kept, the newest complete one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// None: every snapshot by itself.
    Each,
    /// Hours of the clock; one that is repeated when the clocks go back is two.
    Hour,
    /// Calendar days.
    Day,
    /// ISO weeks: Monday to Sunday.
    Week,
    /// Calendar months.
    Month,
    /// Calendar years.
    Year,
}

impl Period {
    /// All of them, shortest first: the order of the arrays in [`Policy`].
    pub const ALL: [Self; 6] = [
        Self::Each,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Year,
    ];

    /// Names the stretch that `moment` lies in. Equal for two moments exactly when they share it.
    pub(crate) fn bucket(self, moment: Timestamp, zone: &TimeZone) -> Bucket {
        let moment = moment.to_jiff();
        let offset = zone.to_offset(moment);
        let local = offset.to_datetime(moment);
        let (year, month) = (i64::from(local.year()), i64::from(local.month()));
        match self {
            Self::Each => Bucket([0; 5]),
            Self::Hour => Bucket([
                year,
                month,
                i64::from(local.day()),
                i64::from(local.hour()),
                i64::from(offset.seconds()),
            ]),
            Self::Day => Bucket([year, month, i64::from(local.day()), 0, 0]),
            Self::Week => {
                let week = local.date().iso_week_date();
                Bucket([i64::from(week.year()), i64::from(week.week()), 0, 0, 0])
            }
            Self::Month => Bucket([year, month, 0, 0, 0]),
            Self::Year => Bucket([year, 0, 0, 0, 0]),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Each => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        })
    }
}

/// One stretch of one [`Period`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bucket([i64; 5]);

/// What is to be kept. A count of 0 is as none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The newest so many.
    pub keep_last: Option<u32>,
    /// The newest of each of the newest so many hours that have one.
    pub keep_hourly: Option<u32>,
    /// Of days.
    pub keep_daily: Option<u32>,
    /// Of ISO weeks.
    pub keep_weekly: Option<u32>,
    /// Of months.
    pub keep_monthly: Option<u32>,
    /// Of years.
    pub keep_yearly: Option<u32>,
    /// Everything.
    pub keep_forever: bool,
    /// All within this span before the group's newest complete snapshot; not before now, so that a
    /// source that is captured no more does not lose its last snapshots one by one.
    pub keep_within: Option<Span>,
    /// Within this span, one of every hour.
    pub keep_within_hourly: Option<Span>,
    /// One of every day.
    pub keep_within_daily: Option<Span>,
    /// One of every ISO week.
    pub keep_within_weekly: Option<Span>,
    /// One of every month.
    pub keep_within_monthly: Option<Span>,
    /// One of every year.
    pub keep_within_yearly: Option<Span>,
    /// All that carry one of these tags.
    pub keep_tags: Vec<TagPattern>,
    /// Nothing younger is ever forgotten. Age counts from the store's time (where there is none,
    /// from the capture).
    pub min: Option<Span>,
    /// Nothing older is ever kept, but for a hold or the minimum. Age counts from the capture, so
    /// that copying a snapshot does not make it younger.
    pub max: Option<Span>,
}

/// A policy that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// No rule, minimum or maximum.
    #[error("the retention policy is empty; give at least one keep rule, or say forever")]
    Empty,
    /// The minimum can outlast the maximum.
    #[error("the minimum age {min} can be longer than the maximum age {max}: both cannot hold")]
    MinimumOverMaximum {
        /// The minimum.
        min: Span,
        /// The maximum.
        max: Span,
    },
    /// Everything is to be kept for ever, and nothing longer than the maximum.
    #[error("snapshots cannot be kept forever and be dropped at the maximum age {max}")]
    ForeverWithMaximum {
        /// The maximum.
        max: Span,
    },
}

impl Policy {
    /// Refuses a policy that says nothing, or two things. Called by [`crate::retention::plan`].
    pub fn validate(&self) -> Result<(), PolicyError> {
        if !self.has_rules() && self.min.is_none() && self.max.is_none() {
            return Err(PolicyError::Empty);
        }
        let Some(max) = self.max else {
            return Ok(());
        };
        if self.keep_forever {
            return Err(PolicyError::ForeverWithMaximum { max });
        }
        match self.min {
            Some(min) if min.may_exceed(max) => Err(PolicyError::MinimumOverMaximum { min, max }),
            _ => Ok(()),
        }
    }

    /// Whether anything says what to keep. Without, a maximum alone is an older-than clean-up and
    /// a minimum alone forgets nothing.
    pub(crate) fn has_rules(&self) -> bool {
        self.keep_forever
            || !self.keep_tags.is_empty()
            || self.counts().iter().any(|(_, count)| *count > 0)
            || self.spans().iter().any(|(_, span)| span.is_some())
    }

    pub(crate) fn counts(&self) -> [(Period, u32); 6] {
        let counts = [
            self.keep_last,
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ];
        std::array::from_fn(|place| (Period::ALL[place], counts[place].unwrap_or(0)))
    }

    pub(crate) fn spans(&self) -> [(Period, Option<Span>); 6] {
        let spans = [
            self.keep_within,
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_yearly,
        ];
        std::array::from_fn(|place| (Period::ALL[place], spans[place]))
    }
}

/// A text that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; write it like daily=14,monthly=12,min=7d, or forever")]
pub struct PolicyTextError {
    /// What is wrong with it.
    pub what: String,
}

impl FromStr for Policy {
    type Err = PolicyTextError;

    /// The rules of a job's `keep` in one word: `daily=14,weekly=8,within=30d`, or `forever`.
    fn from_str(text: &str) -> Result<Self, PolicyTextError> {
        let wrong = |what: String| PolicyTextError { what };
        let mut policy = Self {
            keep_forever: text == "forever",
            ..Self::default()
        };
        for rule in text.split(',').filter(|_| text != "forever") {
            let (name, value) = rule
                .split_once('=')
                .ok_or_else(|| wrong(format!("{rule:?} is no rule with a value")))?;
            let count = || {
                let count = value.parse::<u32>();
                count.map_err(|_| wrong(format!("{value:?} is no count")))
            };
            let span = || {
                value
                    .parse::<Span>()
                    .map_err(|error| wrong(error.to_string()))
            };
            match name.trim() {
                "last" => policy.keep_last = Some(count()?),
                "hourly" => policy.keep_hourly = Some(count()?),
                "daily" => policy.keep_daily = Some(count()?),
                "weekly" => policy.keep_weekly = Some(count()?),
                "monthly" => policy.keep_monthly = Some(count()?),
                "yearly" => policy.keep_yearly = Some(count()?),
                "days" => policy.keep_within = Some(Span::days(count()?)),
                "within" => policy.keep_within = Some(span()?),
                "min" => policy.min = Some(span()?),
                "max" => policy.max = Some(span()?),
                unknown => return Err(wrong(format!("{unknown:?} is no rule"))),
            }
        }
        policy
            .validate()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(policy)
    }
}

impl fmt::Display for Policy {
    /// As it is read back; tags, which are not read so, in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.keep_forever {
            return f.write_str("forever");
        }
        let counts = self.counts().into_iter().filter(|(_, count)| *count > 0);
        let mut rules: Vec<String> = counts
            .map(|(period, count)| format!("{period}={count}"))
            .collect();
        for (period, span) in self.spans() {
            let name = match period {
                Period::Each => "within".to_owned(),
                period => format!("within-{period}"),
            };
            rules.extend(span.map(|span| format!("{name}={span}")));
        }
        rules.extend(self.min.map(|min| format!("min={min}")));
        rules.extend(self.max.map(|max| format!("max={max}")));
        rules.extend(self.keep_tags.iter().map(|tag| format!("[{tag}]")));
        f.write_str(&rules.join(","))
    }
}

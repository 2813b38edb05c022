//! One measured number, as programs print it: `bench NAME UNIT=VALUE`.

use std::fmt;

use ::trace::operation::Operations;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Instructions.
    Instructions,
    /// Bytes.
    Bytes,
    /// Milliseconds of the machine's own time.
    Milliseconds,
    /// Exits of a guest.
    Exits,
    /// Thousandths of something else.
    PerMille,
}

/// All units.
const UNITS: [Unit; 5] = [
    Unit::Instructions,
    Unit::Bytes,
    Unit::Milliseconds,
    Unit::Exits,
    Unit::PerMille,
];

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// Its name.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// The number.
    pub value: u64,
    /// What a trace found among the instructions, where there was one.
    pub operations: Option<Operations>,
}

impl Unit {
    /// Returns its name on the serial line and in JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Bytes => "bytes",
            Self::Milliseconds => "milliseconds_virtual",
            Self::Exits => "exits",
            Self::PerMille => "per_mille",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Instructions => "instructions",
            Self::Bytes => "bytes",
            Self::Milliseconds => "ms (virtual)",
            Self::Exits => "exits",
            Self::PerMille => "per mille",
        })
    }
}

impl Measurement {
    /// Returns the measurement in a line of the serial line.
    pub fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("bench ")?;
        let mut words = rest.split_whitespace();
        let name = words.next()?.to_owned();
        let (key, value) = words.next()?.split_once('=')?;
        let unit = UNITS.into_iter().find(|unit| unit.key() == key)?;
        Some(Self {
            name,
            unit,
            value: value.parse().ok()?,
            operations: None,
        })
    }

    /// Returns the measurement as a JSON object, with its budget where it has one.
    pub fn json(&self, machine: &str, budget: Option<u64>) -> String {
        let mut object = serde_json::Map::new();
        object.insert("name".to_owned(), self.name.clone().into());
        object.insert("machine".to_owned(), machine.into());
        object.insert(self.unit.key().to_owned(), self.value.into());
        if let Some(budget) = budget {
            object.insert("budget".to_owned(), budget.into());
        }
        if let Some(operations) = &self.operations {
            for (name, number) in Operations::NAMES.iter().zip(operations.numbers()) {
                object.insert((*name).to_owned(), number.into());
            }
        }
        serde_json::Value::Object(object).to_string()
    }

    /// Returns machine and measurement of a JSON object.
    pub fn from_json(line: &str) -> Option<(String, Self)> {
        let object: serde_json::Map<_, _> = serde_json::from_str(line).ok()?;
        let text = |key: &str| Some(object.get(key)?.as_str()?.to_owned());
        let number = |unit: &Unit| Some((*unit, object.get(unit.key())?.as_u64()?));
        let (unit, value) = UNITS.iter().find_map(number)?;
        let name = text("name")?;
        let counts = Operations::NAMES.map(|name| object.get(name).and_then(|it| it.as_u64()));
        let is_traced = counts.iter().all(Option::is_some);
        let operations = Operations::from_numbers(counts.map(Option::unwrap_or_default));
        let one = Self {
            name,
            unit,
            value,
            operations: is_traced.then_some(operations),
        };
        Some((text("machine")?, one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_read_from_its_line() {
        let expected = |name: &str, unit, value| Measurement {
            name: name.to_owned(),
            unit,
            value,
            operations: None,
        };
        assert_eq!(
            Measurement::parse("bench null_system_call instructions=38"),
            Some(expected("null_system_call", Unit::Instructions, 38))
        );
        assert_eq!(
            Measurement::parse("[log] bench boot milliseconds_virtual=12 (cold)"),
            Some(expected("boot", Unit::Milliseconds, 12))
        );
        for line in [
            "",
            "bench",
            "bench x",
            "bench x seconds=3",
            "bench x instructions=many",
        ] {
            assert_eq!(Measurement::parse(line), None, "{line}");
        }
    }

    #[test]
    fn an_object_has_name_machine_number_and_budget() {
        let one = Measurement {
            name: "a".to_owned(),
            unit: Unit::Bytes,
            value: 7,
            operations: None,
        };
        let object = |budget| -> serde_json::Value {
            serde_json::from_str(&one.json("m", budget)).expect("is JSON")
        };
        let plain = serde_json::json!({ "name": "a", "machine": "m", "bytes": 7 });
        assert_eq!(object(None), plain);
        assert_eq!(object(Some(9))["budget"], 9);
        let read = Measurement::from_json(&one.json("m", Some(9)));
        assert_eq!(read, Some(("m".to_owned(), one)));
        assert_eq!(Measurement::from_json("not measured"), None);
    }

    #[test]
    fn an_object_has_what_the_trace_found() {
        let operations = Operations::from_numbers([5, 4, 3, 2, 1]);
        let one = Measurement {
            name: "a".to_owned(),
            unit: Unit::Instructions,
            value: 7,
            operations: Some(operations),
        };
        let text = one.json("m", None);
        let object: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        assert_eq!(object["privileged"], 5);
        assert_eq!(object["flushes"], 4);
        assert_eq!(Measurement::from_json(&text), Some(("m".to_owned(), one)));
    }
}

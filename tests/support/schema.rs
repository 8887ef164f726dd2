//! JSON Schema, as far as our schemas use it. A word that is not known here is a fault of the test.

use serde_json::Value;

/// What is wrong with a value, if anything is.
pub fn faults(root: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    Checker { root }.check(root, value, "", &mut faults);
    faults
}

struct Checker<'s> {
    root: &'s Value,
}

impl Checker<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        for (word, rule) in schema.as_object().unwrap() {
            let number = || rule.as_u64().unwrap();
            let length = || value.as_str().map(|text| text.chars().count() as u64);
            let holds = match word.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "$ref" => {
                    let target = self.root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                    self.check(target, value, at, faults);
                    true
                }
                "oneOf" => rule.as_array().unwrap().iter().filter(|one| self.fits(one, value)).count() == 1,
                "const" => value == rule,
                "enum" => rule.as_array().unwrap().contains(value),
                "type" => is(value, rule.as_str().unwrap()),
                "minLength" => length().is_none_or(|length| length >= number()),
                "maxLength" => length().is_none_or(|length| length <= number()),
                "minimum" => value.as_u64().is_none_or(|value| value >= number()),
                "format" => {
                    assert_eq!(rule, "date-time");
                    value.as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok())
                }
                "required" => {
                    let names = rule.as_array().unwrap();
                    names.iter().all(|name| value.get(name.as_str().unwrap()).is_some())
                }
                "properties" => {
                    for (name, rule) in rule.as_object().unwrap() {
                        if let Some(value) = value.get(name) {
                            self.check(rule, value, &format!("{at}/{name}"), faults);
                        }
                    }
                    true
                }
                "additionalProperties" => self.others(schema, rule, value, at, faults),
                "items" => {
                    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, value, &format!("{at}/{index}"), faults);
                    }
                    true
                }
                _ => panic!("the schema says `{word}`, which this test does not know"),
            };
            if !holds {
                faults.push(format!("{at}: `{word}` does not hold of {value}"));
            }
        }
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut faults = Vec::new();
        self.check(schema, value, "", &mut faults);
        faults.is_empty()
    }

    fn others(&self, schema: &Value, rule: &Value, value: &Value, at: &str, faults: &mut Vec<String>) -> bool {
        let known = |name: &str| schema.get("properties").is_some_and(|known| known.get(name).is_some());
        let others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
        if rule == &Value::Bool(false) {
            return others.count() == 0;
        }
        others.for_each(|(name, value)| self.check(rule, value, &format!("{at}/{name}"), faults));
        true
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        _ => panic!("the schema says the type `{name}`, which this test does not know"),
    }
}

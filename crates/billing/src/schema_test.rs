//! The JSON schema beside the price lists is made of the types that read them.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::File;
use crate::values::{Amount, Date, Hours, Length, Percent, Zone};
use crate::{Currency, Decimal};

macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(Decimal, "Decimal", {
    "description": "An exact decimal number, in quotes unless it is whole.",
    "type": ["string", "integer"],
    "pattern": "^[0-9]+(\\.[0-9]+)?$",
    "minimum": 0
});
schema!(Percent, "Percent", {
    "description": "A percentage, from 0 to 100, in quotes unless it is whole.",
    "type": ["string", "integer"],
    "pattern": "^[0-9]+(\\.[0-9]+)?$",
    "minimum": 0,
    "maximum": 100
});
schema!(Amount, "Amount", {
    "description": "A Kubernetes quantity: 0.25, 512Mi.",
    "type": ["string", "integer"],
    "pattern": "^\\+?[0-9.]+([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$",
    "minimum": 0
});
schema!(Length, "Length", {
    "description": "A length of time, up to 24h: 1s, 100ms.",
    "type": "string"
});
schema!(Zone, "TimeZone", {
    "description": "A time zone of the IANA database: UTC, Europe/Paris.",
    "type": "string"
});
schema!(Date, "Date", {
    "description": "A TOML date, with or without a time of day, without an offset.",
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]+)?$"
});
schema!(Hours, "Hours", {
    "description": "A part of a day; it may go on into the next.",
    "type": "string",
    "pattern": "^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$"
});
schema!(Currency, "Currency", {
    "description": "A code of ISO 4217.",
    "type": "string",
    "pattern": "^[A-Z]{3}$"
});

#[test]
fn the_schema_beside_the_lists_is_that_of_the_types_that_read_them() {
    let made = serde_json::to_string_pretty(&schemars::schema_for!(File)).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../prices/schema.json");
    if std::env::var_os("SKETE_TEST_WRITE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "prices/schema.json is not what the types say: run this test with SKETE_TEST_WRITE=1"
    );
}

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{self, ConfigMap, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};

use super::*;

/// A value that fills every honoured field once.
fn sample(kind: &Kind) -> Option<Json> {
    Some(match kind {
        Kind::Text(_) | Kind::Amount => json!("1"),
        Kind::Choice(words) => json!(words.last()),
        Kind::Bool => json!(true),
        Kind::Int(min, _) => json!(min),
        Kind::Base64 => json!("AAE="),
        Kind::List(kind) => json!([sample(kind)?]),
        Kind::Map(_, kind) => json!({ "key": sample(kind)? }),
        Kind::Object(fields) => Json::Object(
            fields
                .iter()
                .filter_map(|field| Some((field.name.to_owned(), sample(&field.kind)?)))
                .collect(),
        ),
        Kind::Only("true", _) => json!(true),
        Kind::Only(only, _) => json!(only),
        Kind::Moot | Kind::NotYet | Kind::Refused(_) | Kind::Part(_) => return None,
    })
}

fn assert_known_to_kubernetes<T: Serialize + DeserializeOwned>(kind: &Kind) {
    let sample = sample(kind).unwrap();
    let object: T = serde_json::from_value(sample.clone()).unwrap();
    // What Kubernetes' types do not know, they drop.
    assert_eq!(json!(object), sample);
}

#[test]
fn every_honoured_field_is_one_of_kubernetes() {
    assert_known_to_kubernetes::<Pod>(&POD);
    assert_known_to_kubernetes::<ConfigMap>(&CONFIG_MAP);
    assert_known_to_kubernetes::<Secret>(&SECRET);
}

/// The fields that a structure of k8s-openapi has, by what its default shows, in lower case.
fn fields_of<T: Default + std::fmt::Debug>() -> BTreeSet<String> {
    let shown = format!("{:?}", T::default());
    let inside = shown
        .split_once(" { ")
        .unwrap()
        .1
        .strip_suffix(" }")
        .unwrap();
    let fields = inside
        .split(", ")
        .map(|field| field.split_once(": ").unwrap().0);
    fields.map(|name| name.replace('_', "")).collect()
}

fn names_of(kind: &Kind) -> BTreeSet<String> {
    let Kind::Object(fields) = kind else {
        panic!("{kind:?}")
    };
    fields
        .iter()
        .map(|field| field.name.to_lowercase())
        .collect()
}

fn inner(kind: &Kind, path: &[&str]) -> Kind {
    let Some((first, rest)) = path.split_first() else {
        return *kind;
    };
    match kind {
        Kind::Object(fields) => {
            let field = fields.iter().find(|field| field.name == *first);
            inner(&field.unwrap().kind, rest)
        }
        _ => panic!("{first} in {kind:?}"),
    }
}

#[test]
fn every_field_of_kubernetes_is_in_the_table() {
    assert_eq!(names_of(&METADATA), fields_of::<ObjectMeta>());
    assert_eq!(names_of(&SPEC), fields_of::<v1::PodSpec>());
    assert_eq!(names_of(&CONTAINER), fields_of::<v1::Container>());
    assert_eq!(names_of(&ENV), fields_of::<v1::EnvVar>());
    assert_eq!(names_of(&ENV_SOURCE), fields_of::<v1::EnvVarSource>());
    assert_eq!(names_of(&ENV_FROM), fields_of::<v1::EnvFromSource>());
    assert_eq!(names_of(&FIELD_REF), fields_of::<v1::ObjectFieldSelector>());
    assert_eq!(
        names_of(&RESOURCE_FIELD_REF),
        fields_of::<v1::ResourceFieldSelector>()
    );
    assert_eq!(
        names_of(&KEY_SELECTOR),
        fields_of::<v1::ConfigMapKeySelector>()
    );
    assert_eq!(
        names_of(&KEY_SELECTOR),
        fields_of::<v1::SecretKeySelector>()
    );
    assert_eq!(names_of(&CONTAINER_PORT), fields_of::<v1::ContainerPort>());
    assert_eq!(
        names_of(&RESOURCES),
        fields_of::<v1::ResourceRequirements>()
    );
    assert_eq!(names_of(&VOLUME_MOUNT), fields_of::<v1::VolumeMount>());
    assert_eq!(names_of(&SECCOMP), fields_of::<v1::SeccompProfile>());
    assert_eq!(
        names_of(&POD_SECURITY),
        fields_of::<v1::PodSecurityContext>()
    );
    assert_eq!(names_of(&SECURITY), fields_of::<v1::SecurityContext>());
    assert_eq!(names_of(&HOST_ALIAS), fields_of::<v1::HostAlias>());
    assert_eq!(names_of(&DNS_CONFIG), fields_of::<v1::PodDNSConfig>());
    assert_eq!(names_of(&VOLUME), fields_of::<v1::Volume>());
    assert_eq!(names_of(&KEY_TO_PATH), fields_of::<v1::KeyToPath>());
    assert_eq!(
        names_of(&DOWNWARD_FILE),
        fields_of::<v1::DownwardAPIVolumeFile>()
    );
    assert_eq!(names_of(&PROJECTION), fields_of::<v1::VolumeProjection>());
    assert_eq!(
        names_of(&OBJECT_PROJECTION),
        fields_of::<v1::ConfigMapProjection>()
    );
    assert_eq!(
        names_of(&OBJECT_PROJECTION),
        fields_of::<v1::SecretProjection>()
    );

    let volume = |name: &str| names_of(&inner(&VOLUME, &[name]));
    assert_eq!(volume("emptyDir"), fields_of::<v1::EmptyDirVolumeSource>());
    assert_eq!(
        volume("configMap"),
        fields_of::<v1::ConfigMapVolumeSource>()
    );
    assert_eq!(volume("secret"), fields_of::<v1::SecretVolumeSource>());
    assert_eq!(
        volume("downwardAPI"),
        fields_of::<v1::DownwardAPIVolumeSource>()
    );
    assert_eq!(
        volume("projected"),
        fields_of::<v1::ProjectedVolumeSource>()
    );
    let capabilities = names_of(&inner(&SECURITY, &["capabilities"]));
    assert_eq!(capabilities, fields_of::<v1::Capabilities>());
}

/// The paths of all maps with a fixed set of fields in a sample.
fn objects(kind: &Kind, path: &str, found: &mut Vec<String>) {
    match kind {
        Kind::Object(fields) => {
            found.push(path.to_owned());
            for field in *fields {
                objects(&field.kind, &format!("{path}/{}", field.name), found);
            }
        }
        Kind::List(kind) => objects(kind, &format!("{path}/0"), found),
        Kind::Map(_, kind) => objects(kind, &format!("{path}/key"), found),
        _ => {}
    }
}

#[test]
fn a_field_that_is_not_in_the_table_is_refused_wherever_it_is_put() {
    let mut paths = Vec::new();
    objects(&POD, "", &mut paths);
    assert!(paths.len() > 60, "{}", paths.len());
    for path in paths {
        let mut sample = sample(&POD).unwrap();
        let object = sample.pointer_mut(&path).unwrap();
        object["surprise"] = json!(1);
        let text = sample.to_string();
        let error = crate::Manifest::parse(text.as_bytes(), "pod.json").unwrap_err();
        let told = error.problems.iter().any(|problem| {
            problem.path.ends_with("surprise") && problem.message == "unknown field"
        });
        assert!(told, "{path}: {error}");
    }
}

#[test]
fn a_field_that_is_not_honoured_is_refused_unless_it_says_nothing() {
    fn refused(kind: &Kind, path: &str, found: &mut Vec<String>) {
        match kind {
            Kind::NotYet | Kind::Refused(_) => found.push(path.to_owned()),
            Kind::Object(fields) => {
                for field in *fields {
                    refused(&field.kind, &format!("{path}/{}", field.name), found);
                }
            }
            Kind::List(kind) => refused(kind, &format!("{path}/0"), found),
            _ => {}
        }
    }
    let mut paths = Vec::new();
    refused(&POD, "", &mut paths);
    assert!(paths.len() > 60, "{}", paths.len());
    for path in paths {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let with = |value: Json| {
            let mut sample = sample(&POD).unwrap();
            sample.pointer_mut(parent).unwrap()[name] = value;
            let text = sample.to_string();
            let error = crate::Manifest::parse(text.as_bytes(), "pod.json").unwrap_err();
            let problems = error.problems.into_iter();
            problems
                .filter(|problem| problem.path.ends_with(&format!(".{name}")))
                .count()
        };
        assert_eq!(with(json!({ "some": "thing" })), 1, "{path}");
        for nothing in [json!(null), json!(false), json!(""), json!([]), json!({})] {
            assert_eq!(with(nothing.clone()), 0, "{path}: {nothing}");
        }
    }
}

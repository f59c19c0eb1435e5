use super::*;

pub(crate) fn example(name: &str) -> PodRecord {
    PodRecord {
        schema: SCHEMA,
        id: PodId::random().unwrap(),
        uid: random_uuid().unwrap(),
        name: name.to_owned(),
        namespace: "default".to_owned(),
        created: Timestamp::now(),
        boot_id: boot_id(),
        labels: Default::default(),
        spec: serde_json::json!({ "restartPolicy": "Never" }),
        remove: false,
        size: Size {
            vcpus: 1,
            memory_mib: 64,
        },
        accelerator: String::new(),
        phase: Phase::Pending,
        containers: vec![container("main")],
        network: NetworkRecord::default(),
        started: None,
        follower_pid: None,
        end: None,
        timings: Vec::new(),
    }
}

fn container(name: &str) -> ContainerRecord {
    ContainerRecord {
        name: name.to_owned(),
        init: false,
        image: "busybox:latest".to_owned(),
        image_id: String::new(),
        command: "sleep 1".to_owned(),
        state: ContainerPhase::Waiting,
        waiting: "PodInitializing".to_owned(),
        task_id: String::new(),
        pid: None,
        started: None,
        terminated: None,
        restarts: 0,
        tty: false,
        stdin: false,
    }
}

fn end(exit_code: u32) -> End {
    End {
        time: Timestamp::now(),
        reason: "ShimKilled".to_owned(),
        message: String::new(),
        exit_code,
    }
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::new(root.path(), root.path());
    let mut record = example("one");
    record.put_down_end(end(137));
    std::fs::create_dir_all(paths.pod(&record.id)).unwrap();

    record.save(&paths).unwrap();

    assert_eq!(PodRecord::load(&paths, &record.id).unwrap(), record);
}

#[test]
fn a_record_of_a_later_schema_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::new(root.path(), root.path());
    let mut record = example("one");
    record.schema = SCHEMA + 1;
    std::fs::create_dir_all(paths.pod(&record.id)).unwrap();
    record.save(&paths).unwrap();

    let error = PodRecord::load(&paths, &record.id).unwrap_err();

    assert!(
        matches!(error, RecordError::Newer { found: 2, .. }),
        "{error}"
    );
}

#[test]
fn half_a_record_is_told_with_its_file() {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::new(root.path(), root.path());
    let id = PodId::random().unwrap();
    std::fs::create_dir_all(paths.pod(&id)).unwrap();
    std::fs::write(paths.pod_record(&id), b"{\"schema\": 1, \"na").unwrap();

    let error = PodRecord::load(&paths, &id).unwrap_err();

    assert!(error.to_string().contains("pod.json"), "{error}");
}

#[test]
fn an_id_is_64_lower_case_hexadecimal_digits() {
    let id = PodId::random().unwrap();
    assert_eq!(PodId::try_from(id.to_string()).unwrap(), id);
    assert_eq!(id.short().len(), SHORT_ID);
    for wrong in ["", "abc", "../../etc", &"A".repeat(64), &"g".repeat(64)] {
        assert!(PodId::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}

#[test]
fn the_end_ends_what_still_ran_and_leaves_what_had_ended() {
    let mut record = example("one");
    let earlier = Termination {
        exit_code: 3,
        reason: "Error".to_owned(),
        message: String::new(),
        started: None,
        finished: Timestamp::now(),
    };
    record.containers = vec![
        container("ended"),
        container("running"),
        container("waiting"),
    ];
    record.containers[0].state = ContainerPhase::Terminated;
    record.containers[0].terminated = Some(earlier.clone());
    record.containers[1].state = ContainerPhase::Running;

    record.put_down_end(end(137));

    assert_eq!(record.phase, Phase::Failed);
    assert_eq!(record.containers[0].terminated, Some(earlier));
    assert_eq!(
        record.containers[1].terminated.as_ref().unwrap().exit_code,
        137
    );
    assert_eq!(
        record.containers[1].terminated.as_ref().unwrap().reason,
        "ShimKilled"
    );
    assert!(
        record
            .containers
            .iter()
            .all(|c| c.state == ContainerPhase::Terminated)
    );
}

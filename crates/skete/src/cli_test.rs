use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn everything_after_the_image_is_the_command() {
    let line = [
        "skete", "run", "-it", "--rm", "busybox", "sh", "-c", "ls -l", "--rm",
    ];
    let cli = Cli::try_parse_from(line).unwrap();
    let shown = format!("{:?}", cli.command);
    assert!(
        shown.contains(r#"args: ["busybox", "sh", "-c", "ls -l", "--rm"]"#),
        "{shown}"
    );
}

#[test]
fn a_flag_before_the_image_that_is_none_is_refused() {
    assert!(Cli::try_parse_from(["skete", "run", "--frobnicate", "busybox"]).is_err());
}

#[test]
fn exec_takes_its_command_with_and_without_dashes() {
    for line in [
        &["skete", "exec", "-it", "pod", "sh", "-c", "x"][..],
        &["skete", "exec", "-it", "pod", "--", "sh", "-c", "x"],
    ] {
        let cli = Cli::try_parse_from(line).unwrap();
        let shown = format!("{:?}", cli.command);
        assert!(shown.contains(r#"command: ["sh", "-c", "x"]"#), "{shown}");
        assert!(shown.contains(r#"pod: "pod""#), "{shown}");
    }
}

#[test]
fn docker_and_kubectl_habits_are_understood() {
    for line in [
        "skete ps -aq",
        "skete ps -a -o json --no-trunc",
        "skete ps -a --filter status=running --filter label=a=b",
        "skete ps -n 3",
        "skete logs -f --tail 10 --since 5m -t -c main pod",
        "skete logs --tail=all pod",
        "skete stop -t 3 a b",
        "skete kill -s HUP a",
        "skete rm -f a",
        "skete rm -af",
        "skete image ls -q",
        "skete images",
        "skete rmi -f x",
        "skete load -i x.tar",
        "skete pull x",
        "skete stats --no-stream",
        "skete run --net none --name x -d -p 80:80 -e A=B -m 1g --cpus 2 x",
        "skete run -",
        "skete completion bash",
        "skete cost -p fargate --since 1h --by namespace -o json",
        "skete cost estimate a.yaml dir - -p fargate -p ./own.toml -o json",
        "skete invoice --tenant a --month 2026-11 -p fargate -o focus --from a.jsonl",
        "skete prices list",
        "skete prices check a.toml b.toml",
        "skete --root /a ps --run-root /b",
    ] {
        let parsed = Cli::try_parse_from(line.split_whitespace());
        assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
    }
}

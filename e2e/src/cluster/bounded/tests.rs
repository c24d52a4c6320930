use super::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn what_a_command_reads_and_says_arrives() {
    let said = say(shell("cat; echo no >&2; exit 3"), b"yes", USUAL).expect("it ran");
    assert_eq!(
        (said.status.code(), said.out.as_str(), said.err.as_str()),
        (Some(3), "yes", "no\n")
    );
}

#[test]
fn a_failure_tells_the_command_and_its_words() {
    let error = run(shell("echo why >&2; false"), USUAL).expect_err("it failed");
    let text = format!("{error:#}");
    assert!(text.contains("sh -c") && text.contains("why"), "{text}");
}

#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    // The inner one holds the pipe: reading it ends only when that one has ended too.
    let script = "echo begun; sleep 600 & sleep 600; wait";
    let error = say(shell(script), &[], Duration::from_millis(300)).expect_err("it hung");
    let text = format!("{error:#}");
    assert!(text.contains("waited") && text.contains("begun"), "{text}");
}

//! Completions that shells take, and manual pages that readers show.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use alike_testkit::{Pair, Terminal};
use common::{pair, text};

/// Whether this can be run here; where it cannot, the test says what it left out.
fn is_here(program: &str) -> bool {
    let here =
        Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().unwrap().status.success();
    if !here {
        eprintln!("{program} is not installed: nothing was tried with it");
    }
    here
}

fn completions(shell: &str) -> Vec<u8> {
    let run = pair().alike.run(["completions", shell]);
    run.expect(0);
    assert!(run.stderr.is_empty(), "{}", run.report());
    run.stdout
}

fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start it");
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn accepts(program: &str, flags: &[&str], input: &[u8]) {
    let output = with_input(Command::new(program).args(flags), input);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{program} says:\n{said}");
}

#[test]
fn every_shell_takes_its_completions() {
    accepts("bash", &["-n"], &completions("bash"));
    for shell in ["zsh", "fish"] {
        let text = completions(shell);
        assert!(text.len() > 1000);
        if is_here(shell) {
            accepts(shell, &["-n"], &text);
        }
    }
    let text = completions("powershell");
    assert!(text.starts_with(b"\nusing namespace System.Management.Automation"));
    pair().alike.run(["completions", "tcsh"]).expect(2).expect_short_message();
}

/// A pair whose config has two jobs, and the variables of a shell that finds both it and alike.
fn with_jobs() -> (Pair, [(&'static str, OsString); 2]) {
    let pair = pair();
    let folder = pair.alike.config_home().join("alike");
    let job = |name: &str| format!("[[job]]\nname = \"{name}\"\nsource = \"a\"\nreplicas = [\"{name}\"]\n");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("alike.toml"), job("documents") + &job("my photos")).unwrap();
    let own = Path::new(env!("CARGO_BIN_EXE_alike")).parent().unwrap();
    let path = [own.as_os_str(), ":".as_ref(), &std::env::var_os("PATH").unwrap()].into_iter().collect();
    let config = pair.alike.config_home().into_os_string();
    (pair, [("PATH", path), ("XDG_CONFIG_HOME", config)])
}

/// What bash offers for these words, the last of which is being typed.
fn offered(words: &[&str]) -> Vec<String> {
    let (folder, variables) = with_jobs();
    let file = folder.beside("alike.bash");
    fs::write(&file, completions("bash")).unwrap();
    let last = words.len() - 1;
    let script = format!(
        "compopt() {{ echo \"$2\"; }}\nsource {file}\nCOMP_WORDS=({words})\nCOMP_CWORD={last}\n\"$(complete -p alike | sed 's/.* -F \\([^ ]*\\) .*/\\1/')\" alike '{current}' '{previous}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        file = text(&file),
        words = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        current = words[last],
        previous = words[last - 1],
    );
    let output = Command::new("bash").args(["--norc", "-c", &script]).envs(variables).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_their_values() {
    assert_eq!(offered(&["alike", "mir"]), ["mirror"]);
    assert_eq!(offered(&["alike", "mirror", "--excl"]), ["--exclude"]);
    assert_eq!(offered(&["alike", "mirror", "--compare", ""]), ["auto", "content", "newer"]);
    assert_eq!(offered(&["alike", "config", "ch"]), ["check"]);
}

#[test]
fn bash_completes_the_jobs_of_the_config() {
    assert_eq!(offered(&["alike", "status", "d"]), ["documents"]);
    assert_eq!(offered(&["alike", "pass", "my"]), ["my\\ photos"], "as it has to be typed");
    for command in ["log", "trash", "undo", "restore", "check"] {
        assert_eq!(offered(&["alike", command, "--job", ""]), ["documents", "my\\ photos"], "{command}");
    }
    assert!(!offered(&["alike", "log", ""]).contains(&"documents".to_owned()));
}

#[test]
fn fish_completes_commands_values_paths_and_jobs() {
    if !is_here("fish") {
        return;
    }
    let (pair, variables) = with_jobs();
    let file = pair.beside("alike.fish");
    fs::write(&file, completions("fish")).unwrap();
    let offered = |typed: &str| {
        let script = format!("source {}; complete -C '{typed}'", text(&file));
        let output = Command::new("fish")
            .args(["--no-config", "-c", &script])
            .envs(variables.clone())
            .current_dir(pair.beside(""))
            .output()
            .unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(offered("alike mir"), ["mirror"]);
    assert_eq!(offered("alike mirror --compare "), ["auto", "content", "newer"]);
    assert_eq!(offered("alike status "), ["documents", "my photos"]);
    for command in ["log", "trash", "undo", "restore", "check"] {
        assert_eq!(offered(&format!("alike {command} --job d")), ["documents"], "{command}");
    }
    assert_eq!(offered("alike once sou"), ["source/"]);
}

#[test]
fn zsh_completes_commands_values_paths_and_jobs() {
    if !is_here("zsh") {
        return;
    }
    let (pair, variables) = with_jobs();
    pair.source.file("inner", "x");
    let folder = pair.beside("functions");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("_alike"), completions("zsh")).unwrap();
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-i"]).envs(variables).env("PS1", "READY ").current_dir(pair.beside(""));
    let mut terminal = Terminal::run(&zsh);
    terminal.wait_for("READY");
    let set_up =
        format!("fpath=({} $fpath); autoload -U compinit; compinit -u -D; echo SET UP", text(&folder));
    terminal.type_in(&format!("{set_up}; clear\n"));
    for (typed, completed) in [
        ("alike mir", "alike mirror"),
        ("alike once --compare con", "alike once --compare content"),
        ("alike status doc", "alike status documents"),
        ("alike log --job my", "alike log --job my\\ photos"),
        ("alike check --job my", "alike check --job my\\ photos"),
        ("alike once sour", "alike once source"),
    ] {
        // It says what it would run instead of running it. What zsh puts behind a whole word goes when something else is typed.
        terminal.type_in(&format!("{typed}\t\x01print -r -- \"got:\x05<\"\n"));
        terminal.wait_for(&format!("got:{completed}<"));
    }
    terminal.type_in("exit\n");
    terminal.exit_code();
}

#[test]
fn a_flag_that_takes_a_path_completes_paths() {
    let folder = pair();
    fs::create_dir_all(folder.beside("here/below")).unwrap();
    let start = format!("{}/be", text(&folder.beside("here")));
    assert_eq!(
        offered(&["alike", "mirror", "--log-file", &start]),
        ["filenames".to_owned(), format!("{start}low")]
    );
    assert_eq!(offered(&["alike", "mirror", "--state-dir", &start]), ["plusdirs", ""]);
}

/// Every command that the help names, with those below it.
fn commands(words: &[&str]) -> Vec<Vec<String>> {
    let help = pair().alike.run([words, &["--help"]].concat()).out();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let mut all = vec![words.iter().map(|word| (*word).to_owned()).collect()];
    for name in listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        all.extend(commands(&[words, &[name]].concat()));
    }
    all
}

#[test]
fn every_command_has_a_page_and_all_of_them_render_without_a_warning() {
    let pair = pair();
    let folder = pair.beside("man/pages");
    pair.alike.run(["man", "--all", text(&folder)]).expect(0);
    let commands = commands(&[]);
    assert!(commands.len() > 12, "{commands:?}");
    for words in commands {
        let name = [&["alike".to_owned()][..], &words].concat().join("-");
        let page = fs::read(folder.join(format!("{name}.1"))).unwrap_or_else(|why| panic!("{name}: {why}"));
        let run = pair.alike.run([&["man".to_owned()][..], &words].concat());
        run.expect(0);
        assert_eq!(run.stdout, page, "{name}");
        assert!(rendered(&folder.join(format!("{name}.1"))).contains("SYNOPSIS"), "{name}");
    }
    pair.alike.run(["man", "frobnicate"]).expect(2).expect_short_message();
}

#[test]
fn the_page_about_the_config_has_every_key_and_how_it_is_written() {
    let pair = pair();
    let run = pair.alike.run(["man", "alike.toml"]);
    run.expect(0);
    let file = pair.beside("alike.toml.5");
    fs::write(&file, &run.stdout).unwrap();
    let page = rendered(&file);
    let keys = pair.alike.run(["config", "init", "--stdout"]).out();
    let keys: Vec<&str> = keys
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once(" = "))
        .map(|(key, _)| key)
        .filter(|key| !key.contains(' '))
        .collect();
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys.iter().chain(&["name", "source", "replicas", "listen"]) {
        assert!(page.contains(key), "{key} is not in\n{page}");
    }
}

/// The page as a reader shows it, without a warning.
#[track_caller]
fn rendered(page: &Path) -> String {
    if !is_here("groff") {
        return fs::read_to_string(page).unwrap();
    }
    let output = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-P-c"]).arg(page).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{}: {said}", page.display());
    // Bold and underlined letters are written twice.
    let text = String::from_utf8(output.stdout).unwrap();
    let mut plain = String::new();
    for ch in text.chars() {
        match ch {
            '\u{8}' => _ = plain.pop(),
            ch => plain.push(ch),
        }
    }
    plain
}

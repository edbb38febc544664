//! The page in a real Chromium, driven by WebDriver as a person would: what it shows, what it forbids itself, and what its buttons do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/chromium.rs"]
mod chromium;
mod common;
#[path = "common/page.rs"]
mod page;

use std::time::{Duration, Instant};

use alike_testkit::{name, wait_until};
use chromium::Chromium;
use common::{SOON, pair, pair_with_files};
use page::Page;
use serde_json::json;

const TEXT: &str = "return document.body.innerText";

fn opened(page: &Page) -> Chromium {
    let browser = Chromium::start();
    browser.open(&page.url(&format!("/#token={}", page.token)));
    browser.until("the page is live", "return document.querySelector('#link').textContent === 'live'");
    browser
}

#[test]
fn a_change_in_the_source_shows_within_a_second() {
    let page = Page::of(pair_with_files(4));
    let browser = opened(&page);
    assert!(browser.run("return location.hash") == "", "the token does not stay in the address");
    for (number, file) in ["first", "second", "third"].into_iter().enumerate() {
        let started = Instant::now();
        page.pair.source.file(file, "new");
        let shown = wait_until(SOON, || browser.run(TEXT).as_str().unwrap().contains(file));
        assert!(
            shown && started.elapsed() < Duration::from_secs(1),
            "the {number}. took {:?}",
            started.elapsed()
        );
    }
    browser.until("the counted files", "return document.body.innerText.includes('7')");
    browser.assert_innocent(&page.at);
}

#[test]
fn restore_from_the_page_works_and_the_hold_is_shown_and_ended_there() {
    let page = Page::of(pair_with_files(4));
    let browser = opened(&page);
    page.pair.source.remove("even/file-000");
    assert!(wait_until(SOON, || !page.pair.replica.has("even/file-000")));
    browser.click_text("summary", "Trash");
    browser.until("the button", "return !!document.querySelector('[aria-label=\"Restore even/file-000\"]')");
    browser.click("[aria-label='Restore even/file-000']");
    browser.until("the question", "return document.querySelector('#ask').open");
    let asked = browser.text("#ask");
    assert!(asked.contains("copy it to the source, then let the mirror go on"), "{asked}");
    browser.click("#ask-yes");
    browser.until("that it is done", "return document.querySelector('#ask-title').textContent === 'Done'");
    assert!(browser.text("#ask-text").contains("even/file-000 is back on the replica"));
    assert_eq!(page.pair.replica.read("even/file-000"), b"content 0");
    browser.click("#ask-no");
    let held = "return document.querySelector('.hold').innerText.includes('even/file-000 was brought back')";
    browser.until("the hold", held);
    assert_eq!(browser.text(".state .word"), "halted");
    std::fs::copy(page.pair.replica.path("even/file-000"), page.pair.source.path("even/file-000")).unwrap();
    browser.click(".hold button");
    browser.click("#ask-yes");
    browser.until("that it is done", "return document.querySelector('#ask-title').textContent === 'Done'");
    browser.click("#ask-no");
    browser.until("identical", "return document.querySelector('.state .word').textContent === 'identical'");
    browser.until("no hold", "return document.querySelector('.hold').hidden");
    page.pair.assert_identical("after the restore");
    browser.assert_innocent(&page.at);
}

#[test]
fn a_pass_is_undone_after_its_steps_were_shown_and_a_wrong_token_is_asked_for_again() {
    let page = Page::of(pair_with_files(4));
    let browser = Chromium::start();
    browser.open(&page.url("/"));
    browser.until("live", "return document.querySelector('#link').textContent === 'live'");
    page.pair.source.remove("odd/file-001");
    assert!(wait_until(SOON, || !page.pair.replica.has("odd/file-001")));
    browser.click_text("summary", "Passes");
    browser.until("the passes", "return document.querySelectorAll('.pass summary').length > 1");
    browser.click(".pass summary");
    browser.click(".pass button");
    browser.until("the question", "return document.querySelector('#unlock').open");
    browser.send("#token", "0123");
    browser.click("#unlock-yes");
    browser
        .until("why", "return document.querySelector('#unlock-why').textContent.includes('not the token')");
    browser.send("#token", &page.token);
    browser.click("#unlock-yes");
    browser.until("the steps", "return document.querySelector('#ask').open");
    assert!(browser.text("#ask-rows").contains("odd/file-001"), "{}", browser.text("#ask"));
    browser.click("#ask-yes");
    browser.until("that it is done", "return document.querySelector('#ask-title').textContent === 'Done'");
    assert!(page.pair.replica.has("odd/file-001"));
}

#[test]
fn hostile_names_are_shown_as_text() {
    let pair = pair();
    let hostile = [
        "<img src=x onerror=document.title='owned'>",
        "line\nbreak",
        "\u{202e}txt.exe",
        "</script><script>document.title='owned'</script>",
        "back\\slash",
    ];
    for name in hostile {
        pair.source.file(name, "x");
    }
    pair.source.file(name(b"not\xffutf8"), "x");
    let page = Page::of(pair);
    let browser = opened(&page);
    let shown = [
        "<img src=x onerror=document.title='owned'>",
        "line\\nbreak",
        "\\u{202e}txt.exe",
        "script><script>document.title='owned'</script>",
        "back\\\\slash",
        "not\\xffutf8",
    ];
    let all = || browser.run(TEXT).as_str().unwrap().to_owned();
    let came = wait_until(SOON, || shown.iter().all(|name| all().contains(name)));
    assert!(came, "{}", all());
    for name in hostile {
        page.pair.source.remove(name);
    }
    page.pair.source.remove(name(b"not\xffutf8"));
    browser.click_text("summary", "Trash");
    let has_buttons = "return [...document.querySelectorAll('[aria-label^=Restore]')].map((one) => one.ariaLabel).join('|')";
    let came = wait_until(SOON, || {
        shown.iter().all(|name| browser.run(has_buttons).as_str().unwrap().contains(name))
    });
    assert!(came, "{}", browser.run(has_buttons));
    assert_eq!(browser.run("return document.querySelectorAll('img, #jobs script').length"), json!(0));
    assert!(!browser.run("return document.title").as_str().unwrap().contains("owned"));
    assert!(!all().contains('\u{202e}'));
    browser.click("[aria-label='Restore not\\\\xffutf8']");
    browser.click("#ask-yes");
    browser.until("that it is done", "return document.querySelector('#ask-title').textContent === 'Done'");
    assert!(page.pair.replica.has(name(b"not\xffutf8")));
    browser.assert_innocent(&page.at);
}

#[test]
fn a_restore_button_is_reached_by_the_keyboard_alone() {
    let page = Page::of(pair_with_files(4));
    page.pair.source.remove("even/file-002");
    assert!(wait_until(SOON, || !page.pair.replica.has("even/file-002")));
    let browser = opened(&page);
    let focused = "const it = document.activeElement; return it.ariaLabel || it.textContent";
    let walk = |to: &str| {
        for _ in 0..40 {
            browser.press("\u{E004}");
            if browser.run(focused).as_str().is_some_and(|text| text.starts_with(to)) {
                let outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle");
                assert_ne!(outline, "none", "where the focus is cannot be seen");
                return;
            }
        }
        panic!("{to} is not reached by Tab");
    };
    browser.press("\u{E004}");
    assert_eq!(browser.run(focused), "Skip to the jobs");
    walk("Trash");
    browser.press("\u{E007}");
    browser.until("the button", "return !!document.querySelector('[aria-label=\"Restore even/file-002\"]')");
    walk("Restore even/file-002");
    browser.press("\u{E007}");
    browser.until("the question", "return document.querySelector('#ask').open");
    assert_eq!(browser.run("return document.activeElement.id"), "ask-yes");
    browser.press("\u{E00C}");
    browser.until("no question", "return !document.querySelector('#ask').open");
    assert!(!page.pair.replica.has("even/file-002"), "Esc changes nothing");
    assert_eq!(browser.run(focused), "Restore even/file-002", "the focus is back where it was");
}

#[test]
fn it_fits_a_phone_and_is_plain_html_without_scripts() {
    let pair = pair_with_files(4);
    let deep = format!("{}/{}", "long-folder-name-without-any-space".repeat(5), "x".repeat(200));
    pair.source.file(&deep, "x");
    let page = Page::of(pair);
    let browser = opened(&page);
    for section in ["Trash", "Passes", "As a table"] {
        browser.click_text("summary", section);
    }
    for width in [320, 375, 768, 1280] {
        browser.size(width, 800);
        let over =
            browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(over, json!(0), "at {width} it scrolls sideways");
    }
    browser.without_scripts();
    browser.open(&page.url("/"));
    let text = browser.text("body");
    for shown in ["documents", "identical", "All is well", "Scripts are off"] {
        assert!(text.contains(shown), "{text}");
    }
}

#[test]
fn a_lost_connection_is_said_and_found_again() {
    let mut page = Page::of(pair_with_files(2));
    let browser = opened(&page);
    let at = page.at.clone();
    page.live.stop();
    browser.until("lost", "return document.querySelector('#banner').textContent.includes('Connection lost')");
    assert_eq!(browser.text("#link"), "connection lost");
    Page::configure(&page.pair, &at, "");
    let config = page.pair.beside("alike.toml");
    let words = ["up", "-c", common::text(&config)];
    page.live = page.pair.alike.start(&words, page.pair.source.top(), page.pair.replica.top());
    browser.until("live again", "return document.querySelector('#link').textContent === 'live'");
    assert_eq!(browser.run("return document.querySelector('#banner').hidden"), json!(true));
    page.pair.source.file("later", "x");
    browser.until("what happens", "return document.body.innerText.includes('later')");
}

#[test]
fn a_changed_config_shows_and_so_does_a_broken_one() {
    let mut page = Page::of(pair_with_files(2));
    let browser = opened(&page);
    let (music, config) = (page.pair.beside("music"), page.pair.beside("alike.toml"));
    std::fs::create_dir(&music).unwrap();
    std::fs::write(music.join("song"), "la").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    let more = format!(
        "[[job]]\nname = \"music\"\nsource = {music:?}\nreplicas = [{:?}]",
        page.pair.beside("there")
    );
    std::fs::write(&config, format!("{text}\n{more}\n")).unwrap();
    page.live.hang_up();
    browser.until(
        "the job",
        "return [...document.querySelectorAll('h2')].some((one) => one.textContent === 'music')",
    );
    browser.until("what it did", "return document.body.innerText.includes('song')");
    std::fs::write(&config, format!("{text}\ncolour = 1\n")).unwrap();
    page.live.hang_up();
    browser.until("why", "return document.querySelector('#banner').innerText.includes('colour')");
    std::fs::write(&config, text).unwrap();
    page.live.hang_up();
    browser.until("that it is over", "return document.querySelector('#banner').hidden");
    browser.until("one job", "return document.querySelectorAll('.replica').length === 1");
    browser.assert_innocent(&page.at);
}

#[test]
fn what_is_held_back_is_shown_with_its_reason() {
    let pair = pair_with_files(40);
    pair.mirrored();
    for number in 0..38 {
        pair.source.remove(format!("{}/file-{number:03}", if number % 2 == 0 { "even" } else { "odd" }));
    }
    let page = Page::starting(pair, "");
    let browser = opened(&page);
    let shown = "return [...document.querySelectorAll('.replica details')].find((one) => one.textContent.startsWith('Not as in the source'))";
    browser.until("what is held", &format!("{shown}?.innerText.includes('even/file-000') === true"));
    let text = browser.run(&format!("{shown}.innerText")).as_str().unwrap().to_owned();
    assert!(text.contains("held back or skipped") && text.contains("hold"), "{text}");
    assert_ne!(browser.text(".state .word"), "identical");
    browser.assert_innocent(&page.at);
}

/// Not only for the documents: a page that cannot be drawn fails here. `ALIKE_SCREENSHOTS=docs` writes them there.
#[test]
fn it_is_drawn_light_and_dark() {
    let page = screenshot_page();
    let browser = opened(&page);
    browser.until("trouble", "return document.querySelectorAll('.replica').length === 3");
    std::thread::sleep(Duration::from_millis(2500));
    for scheme in ["light", "dark"] {
        browser.prefers(scheme);
        let ground = browser.run("return getComputedStyle(document.documentElement).backgroundColor");
        let is_light = ground.as_str().unwrap().contains("247");
        assert_eq!(is_light, scheme == "light", "{ground}");
        browser.size(1080, 900);
        let png = browser.screenshot();
        assert!(png.starts_with(b"\x89PNG") && png.len() < 150_000, "{} bytes", png.len());
        if let Some(folder) = std::env::var_os("ALIKE_SCREENSHOTS") {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
            std::fs::write(folder.join(format!("page-{scheme}.png")), png).unwrap();
        }
    }
    browser.assert_innocent(&page.at);
}

fn screenshot_page() -> Page {
    let pair = pair();
    for (path, bytes) in [
        ("letters/2026-03 landlord.odt", 48_200),
        ("letters/2026-07 insurance.pdf", 182_000),
        ("photos/2025/harbour.jpg", 2_400_000),
        ("photos/2025/lighthouse.jpg", 1_900_000),
        ("notes/garden.md", 4_100),
        ("taxes/2025.ods", 61_000),
    ] {
        pair.source.file(path, vec![7; bytes]);
    }
    let (second, music) = (pair.beside("usb"), pair.beside("Music"));
    std::fs::create_dir_all(music.join("albums")).unwrap();
    std::fs::write(music.join("albums/track.flac"), vec![1; 900_000]).unwrap();
    let more = format!(
        "[[job]]\nname = \"music\"\nsource = {music:?}\nreplicas = [{:?}]\n\n[[job]]\nname = \"camera\"\nsource = {:?}\nreplicas = [{second:?}]\n",
        pair.beside("music-mirror"),
        pair.beside("camera"),
    );
    let page = Page::of_job(pair, &more);
    page.pair
        .source
        .file("notes/garden.md", vec![8; 5_300])
        .file("letters/2026-11 bank.odt", vec![9; 39_000]);
    page.pair.source.remove("photos/2025/lighthouse.jpg").rename("taxes/2025.ods", "taxes/2025 final.ods");
    assert!(wait_until(SOON, || !page.pair.replica.has("photos/2025/lighthouse.jpg")));
    page
}

//! The status page in a real browser: what it shows is true, also when nothing answers any more.

use std::collections::BTreeSet;

use entra_relay::sandbox::administrator::Administrator;
use entra_relay::sandbox::directory::UserSnapshot;
use entra_relay::sandbox::{Sandbox, value};
use rustix::process::Signal;

use crate::support::browser::Browser;
use crate::support::process::Process;
use crate::support::rabbit::Rabbit;
use crate::support::relay::Setup;
use crate::support::wait::eventually;

const HEADLINE: &str = "#headline";
const CHANGES: &str = "#changes";
/// A name that would be markup, where a name were taken for markup.
const HOSTILE: &str = "<img/src=x/onerror=document.title=1>@corp.example";

async fn shows(browser: &Browser, selector: &str, words: &str) {
    let what = format!("{selector} shows {words:?}");
    eventually(&what, async || {
        let text = browser.text(selector).await;
        if text.contains(words) { Ok(()) } else { Err(text) }
    })
    .await;
}

/// Whether nothing must be pushed aside to be read.
async fn fits(browser: &Browser, width: u32) {
    browser.resize(width, 812).await;
    let shown = "[innerWidth, document.documentElement.scrollWidth, \
                 Math.ceil(document.querySelector('#flow svg').getBoundingClientRect().right)]";
    eventually(&format!("the page fits {width}"), async || {
        let widths = browser.value(shown).await;
        let fits = widths.as_array().is_some_and(|widths| {
            widths[0] == width && widths.iter().all(|it| it.as_u64() <= Some(width.into()))
        });
        if fits { Ok(()) } else { Err(widths.to_string()) }
    })
    .await;
}

fn people(sandbox: &Sandbox) -> Vec<UserSnapshot> {
    let mut users = sandbox.directory.users();
    users.retain(|user| value(user, "displayName").is_some());
    users
}

#[tokio::test]
async fn the_page_shows_what_happens_and_says_so_when_nothing_answers() {
    let sandbox = Sandbox::start(20).await.unwrap();
    let mut admin = Administrator::connect(&sandbox.directory).await.unwrap();
    let people = people(&sandbox);
    let setup = Setup::new().sandbox(&sandbox).set("admin.show_names", true);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    let page = format!("http://{}/", relay.admin());
    let browser = Browser::start().await;
    browser.open(&page).await;
    shows(&browser, HEADLINE, "Ready to carry changes to Entra; none came since the start").await;
    assert_eq!(browser.value("document.querySelectorAll('#flow .stop').length").await, 5);

    admin.set_enabled(&people[0].dn, false).await.unwrap();
    shows(&browser, CHANGES, "account.disabled").await;
    shows(&browser, CHANGES, "applied").await;
    shows(&browser, HEADLINE, "✓ Changes reach Entra: p50 ").await;
    shows(&browser, "#numbers", " ago, after ").await;
    // The plot has a point once its step is over.
    let points = "document.querySelectorAll('#plot .dot, #plot .bar').length > 1";
    eventually("the plot shows it", async || browser.value(points).await == true).await;

    admin.set(&people[4].dn, "userPrincipalName", HOSTILE).await.unwrap();
    shows(&browser, CHANGES, HOSTILE).await;
    assert_eq!(browser.value("document.querySelectorAll('img').length").await, 0);
    assert!(browser.value("document.title").await.to_string().contains("entra-relay"));

    sandbox.graph.faults().set(|faults| faults.down = true);
    admin.set_enabled(&people[2].dn, false).await.unwrap();
    shows(&browser, HEADLINE, "✕ Graph is not answering since ").await;
    shows(&browser, HEADLINE, "; 1 change waits").await;
    shows(&browser, "#plot", "Graph away").await;
    for width in [375, 1280] {
        fits(&browser, width).await;
    }
    sandbox.graph.faults().clear();
    shows(&browser, HEADLINE, "Changes reach Entra").await;

    assert_eq!(browser.complaints().await, Vec::<String>::new());
    let asked = browser.asked().await;
    assert_eq!(asked, BTreeSet::from([page.trim_end_matches('/').to_owned()]));

    let stale = "document.body.classList.contains('stale')";
    assert_eq!(browser.value(stale).await, false);
    assert!(relay.terminate().await.success());
    shows(&browser, "#stale", "This page cannot reach the relay since ").await;
    shows(&browser, "#stale", "What is shown is ").await;
    assert_eq!(browser.value(stale).await, true);
    let mut relay = setup.start(&["run"]);
    relay.ready().await;
    eventually("the page is alive again", async || browser.value(stale).await == false).await;
}

#[tokio::test]
async fn a_half_says_what_it_does_not_see() {
    let sandbox = Sandbox::start(20).await.unwrap();
    let mut admin = Administrator::connect(&sandbox.directory).await.unwrap();
    let people = people(&sandbox);
    let vhost = Rabbit::shared().await.vhost();
    let setup = Setup::new().sandbox(&sandbox).rabbit(&vhost);
    let browser = Browser::start().await;
    let mut watcher = setup.start(&["watch"]);
    watcher.ready().await;
    browser.open(&format!("http://{}/", watcher.admin())).await;
    shows(&browser, HEADLINE, "Ready to carry changes to the queue").await;
    shows(&browser, "#unseen", "Consumers and Graph are not seen from here").await;
    shows(&browser, "#numbers", "not known from here").await;
    shows(&browser, "#flow", "not seen here").await;
    admin.set_enabled(&people[0].dn, false).await.unwrap();
    shows(&browser, CHANGES, "told").await;
    let name = people[0].user_principal_name.as_deref().unwrap();
    assert!(!browser.text("main").await.contains(name), "names are shown only where asked for");
    assert_eq!(watcher.get("/status.json").await.unwrap().0, 200);
}

#[tokio::test]
async fn the_demo_goes_on_and_serves_its_page() {
    let setup = Setup::new();
    let arguments = ["demo", "--serve", "--users", "300", "--change-every", "50ms"];
    let mut demo = Process::start("demo", setup.command(&arguments), setup.folder());
    let page: String = eventually("the demo prints where its page is", async || {
        let output = demo.output();
        let (_, rest) = output.split_once("status     http://")?;
        Some(rest.split_once('/')?.0.to_owned())
    })
    .await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{page}/")).await;
    shows(&browser, HEADLINE, "Changes reach Entra: p50 ").await;
    eventually("changes go on", async || {
        browser.value("document.querySelectorAll('#flow [data-state=flows]').length").await == 4
    })
    .await;
    demo.signal(Signal::INT);
    assert!(demo.exit().await.success(), "{}", demo.output());
}

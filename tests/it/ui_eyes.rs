//! What the stories of the page rely on: every mistake is seen.

use crate::support::browser;

#[tokio::test]
async fn every_mistake_of_a_page_is_seen() {
    browser::tell("eyes.mjs", &[]).await.unwrap_or_else(|words| panic!("{words}"));
}

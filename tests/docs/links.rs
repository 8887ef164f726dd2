//! Links between pages and to files.

use crate::pages::{self, Page};

/// Targets of the links of a page that stay in the repository.
fn targets(page: &Page) -> Vec<String> {
    let prose = page.prose();
    let without_code: String = prose.split('`').step_by(2).collect();
    let targets = without_code.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

/// The anchors of a page, as forges make them of headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for page in pages::all() {
        for target in targets(&page) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = pages::root().join(&page.path).parent().unwrap().join(file);
            assert!(file.is_empty() || path.exists(), "{}: `{target}` does not exist", page.path);
            if !anchor.is_empty() {
                let text = if file.is_empty() { page.text.clone() } else { std::fs::read_to_string(&path).unwrap() };
                assert!(anchors(&text).iter().any(|a| a == anchor), "{}: `{target}` has no such heading", page.path);
            }
            count += 1;
        }
    }
    assert!(count >= 30, "only {count} links were found");
}

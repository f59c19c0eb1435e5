//! Whether the documents' links lead anywhere, and whether the book has all of its pages. mdBook
//! checks neither.

use std::fs;
use std::path::{Path, PathBuf};

/// What is wrong with the Markdown files of a repository, a line each.
pub(crate) fn broken(repository: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let book = repository.join("docs/src");
    let summary = fs::read_to_string(book.join("SUMMARY.md")).unwrap_or_default();
    for page in pages(repository) {
        let text = fs::read_to_string(&page).unwrap_or_default();
        let shown = page.strip_prefix(repository).unwrap_or(&page).display();
        let above = page.parent().unwrap_or(repository);
        for target in targets(&text) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !above.join(file).exists() {
                wrong.push(format!("{shown}: {target} leads nowhere"));
            }
        }
        if let Ok(name) = page.strip_prefix(&book)
            && name != Path::new("SUMMARY.md")
            && !targets(&summary).any(|target| Path::new(target) == name)
        {
            wrong.push(format!("{shown} is not in docs/src/SUMMARY.md"));
        }
    }
    wrong
}

/// The targets of the links in a text.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| Some(rest.split_once(')')?.0))
        // Code may look like a link.
        .filter(|target| !target.contains([' ', '\n', '`']))
}

fn pages(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                found.extend(pages(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[cfg(test)]
#[path = "links_test.rs"]
mod tests;

//! The report as one HTML page that needs nothing from elsewhere.

use crate::report::document::Block;
use crate::report::plot::calendar;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:1100px;margin:2em auto;padding:0 1em}\
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #ccd}\
table{border-collapse:collapse;width:100%;margin:.8em 0;font-size:.92em}th,td{text-align:left;vertical-align:top;padding:.3em .6em;border-bottom:1px solid #e3e6ea;overflow-wrap:anywhere}\
th{background:#f4f6f8}figure{margin:1em 0}figcaption{font-weight:600}svg{width:100%;height:auto;font:11px system-ui,sans-serif;fill:#1b1f24}\
.grid{stroke:#dde1e6}.end{text-anchor:end}.mid{text-anchor:middle}\
.quiet{fill:#eceff2}.good{fill:#9fd8b6}.flawed{fill:#f7d774}.missed{fill:#f2a08d}\
@media print{body{margin:0;max-width:none}h2,figure,tr{break-inside:avoid}}";

/// Writes the chapters.
pub fn html(title: &str, blocks: &[Block]) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>{title}</h1>\n"
    );
    for block in blocks {
        match block {
            Block::Heading(heading) => page.push_str(&format!("<h2>{}</h2>\n", escaped(heading))),
            Block::Text(text) => page.push_str(&format!("<p>{}</p>\n", escaped(text))),
            Block::Table(head, rows) => table(head, rows, &mut page),
            Block::Calendar(rows) => {
                page.push_str(&format!("<figure>{}</figure>\n", calendar(rows)))
            }
            Block::Lines(lines) => {
                let svg = lines.svg();
                if !svg.is_empty() {
                    let caption = escaped(&lines.title);
                    page.push_str(&format!(
                        "<figure><figcaption>{caption}</figcaption>{svg}</figure>\n"
                    ));
                }
            }
        }
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// Text that is no markup, in an element or an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

fn table(head: &[&str], rows: &[Vec<String>], page: &mut String) {
    page.push_str("<table>\n<thead><tr>");
    for cell in head {
        page.push_str(&format!("<th scope=\"col\">{}</th>", escaped(cell)));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            page.push_str(&format!("<td>{}</td>", escaped(cell)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n");
}

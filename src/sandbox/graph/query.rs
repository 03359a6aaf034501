//! The query options of a read. Of `$expand` only what the relay asks for is known.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::form_urlencoded;
use uuid::Uuid;

use super::error::GraphError;
use super::filter::Filter;
use super::properties::Prop;

/// Users on a page without `$top`, and the most with it.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 999;

/// The only expansion.
const MANAGER: &str = "manager($select=id)";

/// `$select`, `$filter`, `$top`, `$count`, `$expand` and where a page starts.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) select: Option<Vec<Prop>>,
    pub(super) filter: Option<Filter>,
    pub(super) top: Option<usize>,
    /// Whether to count: asked for, and allowed by the header.
    pub(super) count: bool,
    /// Whether managers are shown.
    pub(super) managers: bool,
    /// The last id of the page before.
    pub(super) after: Option<Uuid>,
}

impl Query {
    /// Reads the options; `eventual` says whether the caller sent `ConsistencyLevel: eventual`.
    /// `$count` without that header is ignored, as Graph does.
    pub(super) fn parse(query: &str, eventual: bool) -> Result<Self, GraphError> {
        let options: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let count = eventual && options.iter().any(|(name, v)| name == "$count" && v == "true");
        let mut parsed = Self { count, ..Self::default() };
        for (name, value) in &options {
            match name.as_ref() {
                "$select" => parsed.select = Some(selection(value)?),
                "$filter" => parsed.filter = Some(Filter::parse(value, count)?),
                "$top" => parsed.top = Some(page_size(value)?),
                "$count" => {}
                "$expand" if value == MANAGER => parsed.managers = true,
                "$skiptoken" => parsed.after = Some(skip_token(value)?),
                other if other.starts_with('$') => {
                    return Err(GraphError::unsupported_query(format!(
                        "The query option '{other}' is not supported."
                    )));
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// Items on this page.
    pub(super) fn page(&self) -> usize {
        self.top.unwrap_or(PAGE)
    }

    /// `@odata.context` behind the collection's name: the selection in parentheses.
    pub(super) fn context(&self) -> String {
        match &self.select {
            None => String::new(),
            Some(props) => {
                let names: Vec<_> = props.iter().map(|prop| prop.info().name).collect();
                format!("({})", names.join(","))
            }
        }
    }
}

/// The query of the next page: the same options, behind this id.
pub(super) fn next_page(query: &str, last: Uuid) -> String {
    let kept = query.split('&').filter(|o| !o.is_empty() && !option_is(o, "$skiptoken"));
    let token = format!("$skiptoken={}", URL_SAFE_NO_PAD.encode(last));
    kept.chain([token.as_str()]).collect::<Vec<_>>().join("&")
}

fn option_is(option: &str, name: &str) -> bool {
    form_urlencoded::parse(option.as_bytes()).any(|(found, _)| found == name)
}

fn selection(value: &str) -> Result<Vec<Prop>, GraphError> {
    let find = |name: &str| Prop::named(name).ok_or_else(|| GraphError::no_such_property(name));
    value.split(',').map(|name| find(name.trim())).collect()
}

fn page_size(value: &str) -> Result<usize, GraphError> {
    value.parse().ok().filter(|size| (1..=LARGEST_PAGE).contains(size)).ok_or_else(|| {
        GraphError::unsupported_query(format!(
            "Invalid page size specified: '{value}'. Must be between 1 and {LARGEST_PAGE} \
             inclusive."
        ))
    })
}

fn skip_token(value: &str) -> Result<Uuid, GraphError> {
    let bytes = URL_SAFE_NO_PAD.decode(value).ok();
    bytes
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .ok_or_else(|| GraphError::unsupported_query("Skip token is invalid."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_the_other_options() {
        let id = Uuid::new_v4();
        let first = next_page("%24filter=a%20eq%20'%26'&$top=2", id);
        assert!(first.starts_with("%24filter=a%20eq%20'%26'&$top=2&$skiptoken="));
        assert_eq!(next_page(&first, id), first);
        assert_eq!(Query::parse("$skiptoken=x", false).expect_err("no token").status, 400);
        let parsed = Query::parse(&next_page("", id), false).expect("its own token");
        assert_eq!(parsed.after, Some(id));
    }

    #[test]
    fn refuses_bad_options() {
        for bad in ["$select=colour", "$top=0", "$top=1000", "$top=x", "$orderby=mail", "$skip=1"] {
            assert!(Query::parse(bad, false).is_err(), "{bad}");
        }
        assert!(!Query::parse("$count=true", false).expect("ignored").count);
        assert!(Query::parse("$count=true", true).expect("counted").count);
    }
}

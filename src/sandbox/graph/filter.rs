//! `$filter`: the part of the OData grammar the directory serves on users.
//!
//! Source: OData 4.01 URL conventions, section 5.1.1, and "Advanced query capabilities" on
//! learn.microsoft.com for what needs `ConsistencyLevel: eventual`.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::error::GraphError;
use super::lexer::{Token, tokens};
use super::properties::{self as table, Kind, Prop};
use super::store::{Store, fold};
use super::user::User;

/// Deepest nesting of parentheses and `not`.
const DEPTH: usize = 32;

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    /// `and`.
    All(Vec<Filter>),
    /// `or`, and `in`.
    Any(Vec<Filter>),
    /// `not`, and `ne`.
    Not(Box<Filter>),
    /// `eq`; null is equal to unset.
    Equals(Prop, Value),
    /// `startsWith`, with the folded prefix.
    Starts(Prop, String),
    /// `endsWith`, with the folded suffix.
    Ends(Prop, String),
}

impl Filter {
    /// Parses a filter; `advanced` says whether the advanced query parameters are there.
    pub(super) fn parse(text: &str, advanced: bool) -> Result<Self, GraphError> {
        let tokens = tokens(text).ok_or_else(invalid)?;
        let mut parser = Parser { tokens: &tokens, advanced, depth: 0 };
        let filter = parser.either()?;
        if parser.tokens.is_empty() { Ok(filter) } else { Err(invalid()) }
    }

    /// Whether a user passes.
    pub(super) fn matches(&self, user: &User) -> bool {
        let text = |prop: Prop| match user.value(prop) {
            Value::String(text) => Some(fold(prop, &text)),
            _ => None,
        };
        match self {
            Self::All(all) => all.iter().all(|one| one.matches(user)),
            Self::Any(any) => any.iter().any(|one| one.matches(user)),
            Self::Not(inner) => !inner.matches(user),
            Self::Equals(prop, Value::String(wanted)) => {
                text(*prop).is_some_and(|text| text == fold(*prop, wanted))
            }
            Self::Equals(prop, wanted) => user.value(*prop) == *wanted,
            Self::Starts(prop, start) => text(*prop).is_some_and(|text| text.starts_with(start)),
            Self::Ends(prop, end) => text(*prop).is_some_and(|text| text.ends_with(end)),
        }
    }

    /// The only users that can pass, where an index tells; none means all must be looked at.
    pub(super) fn candidates(&self, store: &Store) -> Option<BTreeSet<Uuid>> {
        match self {
            Self::Equals(prop, Value::String(wanted)) if *prop == table::ID => {
                Some(Uuid::try_parse(wanted).into_iter().collect())
            }
            Self::Equals(prop, Value::String(wanted)) if prop.info().indexed => {
                Some(store.having(*prop, wanted).map(|user| user.id).collect())
            }
            Self::All(all) => {
                all.iter().filter_map(|one| one.candidates(store)).min_by_key(BTreeSet::len)
            }
            Self::Any(any) => {
                let sets: Option<Vec<_>> = any.iter().map(|one| one.candidates(store)).collect();
                Some(sets?.into_iter().flatten().collect())
            }
            _ => None,
        }
    }
}

fn invalid() -> GraphError {
    GraphError::malformed("Invalid filter clause")
}

struct Parser<'t> {
    tokens: &'t [Token],
    advanced: bool,
    depth: usize,
}

impl Parser<'_> {
    fn either(&mut self) -> Result<Filter, GraphError> {
        let mut any = vec![self.both()?];
        while self.skip_word("or") {
            any.push(self.both()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Filter::Any(any) })
    }

    fn both(&mut self) -> Result<Filter, GraphError> {
        let mut all = vec![self.single()?];
        while self.skip_word("and") {
            all.push(self.single()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::All(all) })
    }

    fn single(&mut self) -> Result<Filter, GraphError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(invalid());
        }
        let filter = match self.next()? {
            Token::Open => {
                let inner = self.either()?;
                self.expect(&Token::Close)?;
                inner
            }
            Token::Word(word) if word == "not" => {
                self.require_advanced("not")?;
                Filter::Not(Box::new(self.single()?))
            }
            Token::Word(word) if self.tokens.first() == Some(&Token::Open) => {
                self.function(&word)?
            }
            Token::Word(word) => self.comparison(&word)?,
            _ => return Err(invalid()),
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn function(&mut self, name: &str) -> Result<Filter, GraphError> {
        let starts = name.eq_ignore_ascii_case("startsWith");
        if !starts {
            if !name.eq_ignore_ascii_case("endsWith") {
                return Err(invalid());
            }
            self.require_advanced("endsWith")?;
        }
        self.expect(&Token::Open)?;
        let Token::Word(name) = self.next()? else { return Err(invalid()) };
        let prop = filterable(&name)?;
        self.expect(&Token::Comma)?;
        let Token::Text(text) = self.next()? else { return Err(invalid()) };
        self.expect(&Token::Close)?;
        let text = fold(prop, &text);
        Ok(if starts { Filter::Starts(prop, text) } else { Filter::Ends(prop, text) })
    }

    fn comparison(&mut self, name: &str) -> Result<Filter, GraphError> {
        let prop = filterable(name)?;
        let Token::Word(operator) = self.next()? else { return Err(invalid()) };
        match operator.as_str() {
            "eq" => Ok(Filter::Equals(prop, self.literal(prop)?)),
            "ne" => {
                self.require_advanced("ne")?;
                Ok(Filter::Not(Box::new(Filter::Equals(prop, self.literal(prop)?))))
            }
            "in" => {
                self.expect(&Token::Open)?;
                let mut any = vec![Filter::Equals(prop, self.literal(prop)?)];
                while self.tokens.first() == Some(&Token::Comma) {
                    self.next()?;
                    any.push(Filter::Equals(prop, self.literal(prop)?));
                }
                self.expect(&Token::Close)?;
                Ok(Filter::Any(any))
            }
            "ge" | "gt" | "le" | "lt" => Err(GraphError::unsupported_filter(name)),
            _ => Err(invalid()),
        }
    }

    fn literal(&mut self, prop: Prop) -> Result<Value, GraphError> {
        let value = match self.next()? {
            Token::Text(text) => Value::String(text),
            Token::Word(word) if word == "null" => return Ok(Value::Null),
            Token::Word(word) if word == "true" => Value::Bool(true),
            Token::Word(word) if word == "false" => Value::Bool(false),
            _ => return Err(invalid()),
        };
        if value.is_boolean() == (prop.info().kind == Kind::Boolean) {
            Ok(value)
        } else {
            Err(GraphError::malformed(
                "A binary operator with incompatible types was detected in the filter clause.",
            ))
        }
    }

    fn require_advanced(&self, operator: &str) -> Result<(), GraphError> {
        if self.advanced { Ok(()) } else { Err(GraphError::needs_advanced_query(operator)) }
    }

    fn next(&mut self) -> Result<Token, GraphError> {
        let (first, rest) = self.tokens.split_first().ok_or_else(invalid)?;
        self.tokens = rest;
        Ok(first.clone())
    }

    fn expect(&mut self, token: &Token) -> Result<(), GraphError> {
        if self.next()? == *token { Ok(()) } else { Err(invalid()) }
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.first(), Some(Token::Word(next)) if next == word);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }
}

fn filterable(name: &str) -> Result<Prop, GraphError> {
    let prop = Prop::named(name).ok_or_else(|| GraphError::no_such_property(name))?;
    if prop.info().filterable { Ok(prop) } else { Err(GraphError::unsupported_filter(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::graph::user::NewUser;

    fn found(filter: &str) -> usize {
        let mut store = Store::default();
        let ada = NewUser::new("Ada@contoso.com").immutable_id("aA+/=").with("employeeId", "7");
        store.insert(ada.build());
        store.insert(NewUser::new("o'hara@contoso.com").with("employeeId", "7").disabled().build());
        let filter = Filter::parse(filter, true).expect("a good filter");
        let all: Vec<_> = store.users_after(None).filter(|user| filter.matches(user)).collect();
        if let Some(candidates) = filter.candidates(&store) {
            assert!(all.iter().all(|user| candidates.contains(&user.id)), "{filter:?}");
        }
        all.len()
    }

    #[test]
    fn finds_users() {
        assert_eq!(found("userPrincipalName eq 'ada@CONTOSO.com'"), 1);
        assert_eq!(found("userPrincipalName eq 'o''hara@contoso.com'"), 1);
        assert_eq!(found("onPremisesImmutableId eq 'aA+/='"), 1);
        assert_eq!(found("onPremisesImmutableId eq 'AA+/='"), 0);
        assert_eq!(found("onPremisesImmutableId eq null"), 1);
        assert_eq!(found("employeeId eq '7'"), 2);
        assert_eq!(found("employeeId eq '7' and accountEnabled eq false"), 1);
        assert_eq!(found("employeeId in ('6','7') and not (accountEnabled eq false)"), 1);
        assert_eq!(found("employeeId eq '6' or startswith(displayName,'AD')"), 1);
        assert_eq!(found("(endsWith(userPrincipalName,'.com'))"), 2);
    }

    #[test]
    fn an_index_narrows_the_search() {
        let store = Store::default();
        let narrow = |text| Filter::parse(text, true).expect("good").candidates(&store).is_some();
        assert!(narrow("employeeId eq '7' and accountEnabled eq true"));
        assert!(narrow("employeeId in ('7','8') or userPrincipalName eq 'a@b'"));
        assert!(!narrow("employeeId eq '7' or accountEnabled eq true"));
        assert!(!narrow("employeeId ne '7'"));
    }

    #[test]
    fn refuses_what_it_cannot_serve() {
        let code = |text: &str| Filter::parse(text, false).expect_err(text).code;
        assert_eq!(code("department ne 'x'"), "Request_UnsupportedQuery");
        assert_eq!(code("endsWith(mail,'x')"), "Request_UnsupportedQuery");
        assert_eq!(code("colour eq 'x'"), "Request_UnsupportedQuery");
        assert_eq!(code("signInSessionsValidFromDateTime eq 'x'"), "Request_UnsupportedQuery");
        for bad in
            ["", "mail", "mail eq", "mail eq x", "(mail eq 'x'", "mail eq 'x' mail", "mail eq 'x"]
        {
            assert_eq!(code(bad), "BadRequest", "{bad}");
        }
        assert_eq!(code("accountEnabled eq 'true'"), "BadRequest");
        assert_eq!(code(&format!("{}mail eq 'x'", "(".repeat(10_000))), "BadRequest");
    }
}

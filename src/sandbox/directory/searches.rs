//! The four kinds of search: rootDSE, ordinary (perhaps in pages), DirSync, change notification.

use std::io;

use ldap3_proto::{
    LdapResultCode,
    control::LdapControl,
    proto::{
        LdapMsg, LdapOp, LdapSearchRequest, LdapSearchResultEntry, LdapSearchResultReference,
        LdapSearchScope,
    },
};
use tokio::task::yield_now;

use super::{
    connection::Connection,
    control::{self, Controls, DirSync, Paged},
    dirsync::{self, Cookie, OBJECT_SECURITY, Run},
    filter::Filter,
    notify, paging,
    refusal::{Refusal, result},
    schema::Attr,
    search::{Progress, Query, Selection},
    store::DOMAIN,
};

/// `MaxPageSize` of the default LDAP policy, which also limits a result without pages.
const MAX_PAGE: usize = 1_000;
/// `MaxNotificationPerConn` of the default LDAP policy.
const MAX_WATCHES: usize = 5;

/// What a search came to; the outer error is one of the connection.
type Outcome = io::Result<Result<(), Refusal>>;

/// Passes a refusal on, as `?` does with an error of the connection.
macro_rules! admit {
    ($outcome:expr) => {
        match $outcome {
            Ok(value) => value,
            Err(refusal) => return Ok(Err(refusal)),
        }
    };
}

impl Connection {
    /// Answers a search, or starts a notification that goes on answering.
    pub async fn search(
        &mut self,
        id: i32,
        request: &LdapSearchRequest,
        filter: Filter,
        controls: Controls,
    ) -> Outcome {
        if request.base.is_empty() && request.scope == LdapSearchScope::Base {
            let entry = self.directory.rootdse(&request.attrs);
            return self.finish(id, vec![entry], Vec::new(), Vec::new()).await;
        }
        let rights = admit!(self.rights());
        if let Some(dirsync) = controls.dirsync {
            return self.dirsync(id, request, filter, dirsync, controls.extended_dn).await;
        }
        let query = {
            let show_deleted = controls.show_deleted && rights.see_deleted;
            let store = self.directory.read();
            Query {
                base: admit!(store.target(&request.base, show_deleted)),
                scope: request.scope.clone(),
                filter,
                selection: Selection::new(&request.attrs).extended(controls.extended_dn),
                types_only: request.typesonly,
                // Notifications tell of deletions without being asked to.
                show_deleted: rights.see_deleted && (show_deleted || controls.notification),
            }
        };
        if controls.notification {
            return Ok(self.watch(id, query));
        }
        let domain = query.base == DOMAIN && query.scope == LdapSearchScope::Subtree;
        let refer = domain && !controls.domain_scope;
        self.ordinary(id, request, query, controls.paged, refer).await
    }

    async fn ordinary(
        &self,
        id: i32,
        request: &LdapSearchRequest,
        query: Query,
        paged: Option<Paged>,
        refer: bool,
    ) -> Outcome {
        let fingerprint = paging::fingerprint(request, &query.filter);
        let cookie = paged.as_ref().map_or(&[][..], |paged| &paged.cookie);
        let Some(mut from) = paging::start(fingerprint, cookie) else {
            return Ok(Err(control::unavailable("the page cookie is not one of this search")));
        };
        let client_limit = usize::try_from(request.sizelimit).ok().filter(|limit| *limit > 0);
        let wanted = paged.as_ref().map_or(client_limit, |paged| Some(paged.size));
        let limit = wanted.unwrap_or(MAX_PAGE).min(MAX_PAGE);

        let plan = query.plan(&self.directory.read());
        let mut entries = Vec::new();
        let end = loop {
            let progress = query.run(&self.directory.read(), &plan, &mut from, limit, &mut entries);
            match progress {
                Progress::Paused => yield_now().await,
                end => break end,
            }
        };
        let full = end == Progress::Full;
        let references = if refer && !full { self.references() } else { Vec::new() };
        let Some(paged) = paged else {
            if full {
                self.entries(id, entries).await?;
                let message = "size limit exceeded";
                return Ok(Err(Refusal::new(LdapResultCode::SizeLimitExceeded, message)));
            }
            return self.finish(id, entries, references, Vec::new()).await;
        };
        // A page of size zero asks to forget the search.
        let more = full && paged.size > 0;
        let cookie = if more { paging::cookie(fingerprint, from) } else { Vec::new() };
        let control = LdapControl::SimplePagedResults { size: 0, cookie };
        self.finish(id, entries, references, vec![control]).await
    }

    /// The naming context that lies below the domain, which a search of the domain leaves out.
    fn references(&self) -> Vec<LdapSearchResultReference> {
        let store = self.directory.read();
        let (dns, dn) = (&store.domain.dns, &store.domain.dn);
        vec![LdapSearchResultReference {
            uris: vec![format!("ldap://{dns}/CN=Configuration,{dn}")],
        }]
    }

    async fn dirsync(
        &self,
        id: i32,
        request: &LdapSearchRequest,
        filter: Filter,
        control: DirSync,
        extended_dn: bool,
    ) -> Outcome {
        let mut run = admit!(self.admit_dirsync(request, filter, &control, extended_dn));
        let (cookie, more) = loop {
            let progress = run.step(&self.directory.read());
            match progress {
                dirsync::Progress::Paused => yield_now().await,
                dirsync::Progress::Complete { cookie, more } => break (cookie, more),
            }
        };
        // The reply has the shape of the request: MoreResults, an unused number, the cookie.
        let control =
            LdapControl::AdDirsync { flags: i64::from(more), max_bytes: 0, cookie: Some(cookie) };
        self.finish(id, run.entries, Vec::new(), vec![control]).await
    }

    fn admit_dirsync(
        &self,
        request: &LdapSearchRequest,
        filter: Filter,
        control: &DirSync,
        extended_dn: bool,
    ) -> Result<Run, Refusal> {
        let rights = self.rights()?;
        if let Some(code) = self.directory.faults.dirsync() {
            return Err(Refusal::new(code, "00002095: DirSync is refused by a switch"));
        }
        let own_rights = control.flags & OBJECT_SECURITY != 0;
        let store = self.directory.read();
        let head = store.target(&request.base, false)?;
        if !store.is_head(head) {
            return Err(if own_rights {
                Refusal::unwilling("0000212B: SvcErr: DirSync wants the head of a naming context")
            } else {
                Refusal::access_denied()
            });
        }
        if !own_rights && !rights.replicate {
            let message = "00002105: SecErr: DS-Replication-Get-Changes is missing";
            return Err(Refusal::new(LdapResultCode::InsufficentAccessRights, message));
        }
        let cookie = Cookie::decode(store.invocation, &control.cookie).ok_or_else(|| {
            control::unavailable("the DirSync cookie is not one of this database")
        })?;
        let scope = dirsync::Scope {
            head,
            filter,
            selection: Selection::new(&request.attrs).extended(extended_dn),
            see_deleted: rights.see_deleted,
        };
        Ok(Run::new(scope, control, cookie, self.directory.options.dirsync_batch.max(1)))
    }

    fn watch(&mut self, id: i32, query: Query) -> Result<(), Refusal> {
        if query.filter != Filter::Present(Attr::ObjectClass) {
            return Err(Refusal::unwilling("0000202B: a notification takes only (objectClass=*)"));
        }
        self.watch_ids.retain(|_, watch| !watch.is_finished());
        if self.watch_ids.len() >= MAX_WATCHES {
            let message = "0000202B: too many notifications on this connection";
            return Err(Refusal::new(LdapResultCode::AdminLimitExceeded, message));
        }
        let since = self.directory.read().highest_usn();
        let task = notify::watch(self.directory.clone(), query, id, since, self.replies.clone());
        self.watch_ids.insert(id, self.watches.spawn(task));
        Ok(())
    }

    async fn entries(&self, id: i32, entries: Vec<LdapSearchResultEntry>) -> io::Result<()> {
        let message = |entry| LdapMsg::new(id, LdapOp::SearchResultEntry(entry));
        self.send(entries.into_iter().map(message)).await
    }

    async fn finish(
        &self,
        id: i32,
        entries: Vec<LdapSearchResultEntry>,
        references: Vec<LdapSearchResultReference>,
        controls: Vec<LdapControl>,
    ) -> Outcome {
        let entries = entries.into_iter().map(LdapOp::SearchResultEntry);
        let references = references.into_iter().map(LdapOp::SearchResultReference);
        let done = LdapOp::SearchResultDone(result(Ok(())));
        let messages = entries.chain(references).map(|op| LdapMsg::new(id, op));
        let last = LdapMsg::new_with_ctrls(id, done, controls);
        self.send(messages.chain([last])).await.map(Ok)
    }
}

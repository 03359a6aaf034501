//! The simulator over TCP.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::bench::{Bench, code, message, parts};
use super::*;

#[tokio::test]
async fn disables_and_revokes() {
    let bench = Bench::start(Options::default()).await;
    let id = bench.graph.add_user(NewUser::new("ada@contoso.com").immutable_id("a+/="));
    let before = bench.graph.user(id).and_then(|user| user.sessions_valid_from());

    let filter = "$filter=onPremisesImmutableId%20eq%20'a%2B%2F%3D'&$select=id,accountEnabled";
    let (status, found) = bench.get(&format!("users?{filter}")).await;
    assert_eq!(status, 200);
    assert_eq!(found["value"], json!([{"id": id, "accountEnabled": true}]));

    assert_eq!(bench.patch(id, json!({"accountEnabled": false})).await, (204, Value::Null));
    let path = format!("users/{id}/revokeSignInSessions");
    let revoked = parts(bench.send(Method::POST, &path, None).await).await;
    assert_eq!((revoked.0, &revoked.1["value"]), (200, &json!(true)));

    let user = bench.graph.user_by_upn("ADA@contoso.com").expect("the user");
    assert!(!user.account_enabled());
    assert!(user.sessions_valid_from() > before);
    let (_, shown) = bench.get("users/ada@contoso.com").await;
    assert!(shown.get("accountEnabled").is_none(), "only shown when selected");
    assert_eq!(shown["businessPhones"], json!([]));

    let log = bench.graph.log();
    let statuses: Vec<_> = log.iter().map(|r| (r.method.as_str(), r.status, r.user)).collect();
    let own = Some(id);
    assert_eq!(
        statuses,
        [
            ("POST", Some(200), None),
            ("GET", Some(200), None),
            ("PATCH", Some(204), own),
            ("POST", Some(200), own),
            ("GET", Some(200), own),
        ]
    );
    assert!(log.windows(2).all(|pair| pair[0].order + 1 == pair[1].order));
}

#[tokio::test]
async fn errors_carry_the_ids_of_the_headers() {
    let bench = Bench::start(Options::default()).await;
    let url = format!("{}/users/nobody@contoso.com", bench.graph.endpoint());
    let request = bench.http.get(url).bearer_auth(&bench.token);
    let answer = request.header("client-request-id", "mine").send().await.expect("an answer");
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    let (request_id, client_id) = (header("request-id"), header("client-request-id"));
    assert_eq!(header("x-ms-resource-unit"), "1");
    assert!(header("x-ms-ags-diagnostic").contains("ServerInfo"));
    assert!(answer.headers().contains_key("date"));
    let (status, body) = parts(answer).await;
    assert_eq!((status, code(&body)), (404, "Request_ResourceNotFound"));
    assert!(message(&body).starts_with("Resource 'nobody@contoso.com' does not exist"));
    assert_eq!(client_id, "mine");
    assert_eq!(body["error"]["innerError"]["request-id"], request_id);
    assert_eq!(body["error"]["innerError"]["client-request-id"], "mine");
    assert_eq!(bench.graph.log()[1].client_request_id.as_deref(), Some("mine"));
}

#[tokio::test]
async fn tokens_are_needed_and_expire() {
    let mut bench = Bench::start(Options::default()).await;
    assert_eq!(bench.get("organization").await.0, 200);
    bench.graph.expire_tokens();
    let (status, body) = bench.get("organization").await;
    assert_eq!((status, code(&body)), (401, "InvalidAuthenticationToken"));
    bench.sign_in().await;
    assert_eq!(bench.get("organization").await.0, 200);

    let (status, body) = parts(bench.ask_token("guess").await).await;
    assert_eq!((status, &body["error_codes"]), (401, &json!([7000215])));
    bench.graph.faults().set(|set| set.token_down = true);
    assert_eq!(bench.ask_token("guess").await.status(), 503);
}

#[tokio::test]
async fn permissions_are_needed() {
    let bench = Bench::with_roles(&["User.Read.All", "User.EnableDisableAccount.All"]).await;
    let id = bench.graph.add_user(NewUser::new("ada@contoso.com"));
    assert_eq!(bench.patch(id, json!({"accountEnabled": false})).await.0, 204);
    for body in [
        json!({"department": "x"}),
        json!({"passwordProfile": {"password": "Passw0rd!"}}),
        json!({"accountEnabled": true, "department": "x"}),
    ] {
        let (status, body) = bench.patch(id, body).await;
        assert_eq!((status, code(&body)), (403, "Authorization_RequestDenied"));
    }
    assert_eq!(bench.post(&format!("users/{id}/revokeSignInSessions"), json!({})).await.0, 403);
    assert_eq!(bench.delete(&format!("users/{id}")).await, 403);
    assert_eq!(bench.graph.user(id).map(|user| user.account_enabled()), Some(false));

    let mut bench = Bench::with_roles(&[]).await;
    assert_eq!(bench.get("users").await.0, 403);
    bench.graph.set_app_roles(["User.ReadBasic.All"]);
    assert_eq!(bench.get("users?$select=id").await.0, 403, "the token is the old one");
    bench.sign_in().await;
    assert_eq!(bench.get("users?$select=id,displayName").await.0, 200);
    assert_eq!(bench.get("users?$select=id,department").await.0, 403);
}

#[tokio::test]
async fn admins_and_passwords_need_a_role() {
    let bench = Bench::start(Options::default()).await;
    let admin = NewUser::new("root@contoso.com").role(DirectoryRole::GlobalAdministrator);
    let admin = bench.graph.add_user(admin);
    let id = bench.graph.add_user(NewUser::new("ada@contoso.com"));
    let password = || json!({"passwordProfile": {"password": "Passw0rd!"}});
    assert_eq!(bench.patch(id, password()).await.0, 204);
    assert_eq!(bench.patch(admin, json!({"accountEnabled": false})).await.0, 403);
    assert_eq!(bench.patch(admin, json!({"department": "x"})).await.0, 204, "not sensitive");
    assert_eq!(bench.delete(&format!("users/{admin}")).await, 403);

    bench.graph.set_directory_roles([]);
    assert_eq!(bench.patch(id, password()).await.0, 403);
    bench.graph.set_directory_roles([DirectoryRole::PrivilegedAuthenticationAdministrator]);
    assert_eq!(bench.patch(admin, json!({"accountEnabled": false})).await.0, 204);

    let user = bench.graph.user(id).expect("the user");
    assert_eq!(user.password(), Some("Passw0rd!"));
    let log = bench.graph.log();
    assert!(!format!("{log:?}").contains("Passw0rd!"));
    let (_, shown) = bench.get(&format!("users/{id}?$select=passwordProfile")).await;
    assert_eq!(shown["passwordProfile"], Value::Null);
}

#[tokio::test]
async fn a_patch_is_all_or_nothing() {
    let bench = Bench::start(Options::default()).await;
    let id = bench.graph.add_user(NewUser::new("ada@contoso.com").synced().with("city", "Bern"));
    let other = NewUser::new("bob@contoso.com").immutable_id("Ym9i");
    bench.graph.add_user(other);
    let (status, body) = bench.patch(id, json!({"accountEnabled": false, "city": "x"})).await;
    assert_eq!(status, 400);
    assert!(message(&body).contains("on-premises mastered"));
    let user = bench.graph.user(id).expect("the user");
    assert!(user.account_enabled() && user.get("city") == "Bern");
    assert_eq!(bench.patch(id, json!({"accountEnabled": false})).await.0, 204);

    let cloud = bench.graph.add_user(NewUser::new("eve@contoso.com"));
    for (property, value) in
        [("userPrincipalName", "BOB@contoso.com"), ("onPremisesImmutableId", "Ym9i")]
    {
        let (status, body) = bench.patch(cloud, json!({ property: value, "city": "x" })).await;
        assert_eq!((status, code(&body)), (400, "Request_BadRequest"));
        let detail = &body["error"]["details"][0];
        assert_eq!(
            (&detail["code"], &detail["target"]),
            (&json!("ObjectConflict"), &json!(property))
        );
    }
    assert_eq!(bench.graph.user(cloud).map(|user| user.get("city")), Some(Value::Null));
    let (status, body) = bench.patch(cloud, json!({"userPrincipalName": "eve@evil.com"})).await;
    assert!(status == 400 && message(&body).contains("domain portion"));
}

#[tokio::test]
async fn bodies_must_be_json() {
    let bench = Bench::start(Options::default()).await;
    let id = bench.graph.add_user(NewUser::new("ada@contoso.com"));
    let url = format!("{}/users/{id}", bench.graph.endpoint());
    let patch = || bench.http.patch(&url).bearer_auth(&bench.token);
    let status = async |request: reqwest::RequestBuilder| {
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(status(patch().body("{}")).await, 400);
    assert_eq!(status(patch()).await, 400);
    let text = patch().header("content-type", "text/plain").body("{}");
    assert_eq!(status(text).await, 415);
    let broken = patch().header("content-type", "application/json").body("{");
    assert_eq!(status(broken).await, 400);
    let large = patch().header("content-type", "application/json").body(vec![b' '; 5 << 20]);
    assert!(matches!(large.send().await.map(|a| a.status().as_u16()), Ok(413) | Err(_)));
    assert_eq!(bench.delete("users").await, 405);
    assert_eq!(bench.get("users/1/photo").await.0, 400);
    assert_eq!(bench.get("groups/x/members").await.0, 400);
}

#[tokio::test]
async fn creates_deletes_restores() {
    let bench = Bench::start(Options::default()).await;
    let body = json!({
        "accountEnabled": true, "displayName": "Ada", "mailNickname": "ada",
        "userPrincipalName": "ada@contoso.com", "passwordProfile": {"password": "Passw0rd!"},
    });
    let mut lacking = body.clone();
    lacking.as_object_mut().expect("an object").remove("mailNickname");
    assert_eq!(bench.post("users", lacking).await.0, 400);
    bench.graph.faults().set(|set| set.create_lag = Duration::from_secs(3600));
    let (status, created) = bench.post("users", body.clone()).await;
    assert_eq!((status, &created["displayName"]), (201, &json!("Ada")));
    let id = created["id"].as_str().expect("an id").to_owned();
    assert_eq!(bench.get(&format!("users/{id}")).await.0, 404, "not replicated");
    bench.graph.faults().clear();
    assert_eq!(bench.get("users/ada@contoso.com").await.0, 200);
    assert_eq!(bench.post("users", body.clone()).await.0, 400, "the name is taken");

    assert_eq!(bench.delete("users/ada@contoso.com").await, 204);
    assert_eq!(bench.get(&format!("users/{id}")).await.0, 404);
    let (_, deleted) = bench.get("directory/deletedItems/microsoft.graph.user").await;
    assert_eq!(deleted["value"][0]["id"], id.as_str());
    let item = format!("directory/deletedItems/{id}");
    let restored = bench.send(Method::POST, &format!("{item}/restore"), None).await;
    let (status, restored) = parts(restored).await;
    assert_eq!((status, &restored["@odata.type"]), (200, &json!("#microsoft.graph.user")));

    assert_eq!(bench.delete(&format!("users/{id}")).await, 204);
    assert_eq!(bench.post("users", body).await.0, 201, "the name is free");
    let restored = bench.send(Method::POST, &format!("{item}/restore"), None).await;
    assert_eq!(restored.status(), 400);
    assert_eq!(bench.delete(&item).await, 204);
    assert_eq!(bench.get(&item).await.0, 404);
}

#[tokio::test]
async fn users_have_many_names() {
    let bench = Bench::start(Options::default()).await;
    let guest = "o'hara_x.com#EXT#@contoso.com";
    let id = bench.graph.add_user(NewUser::new(guest));
    for path in [
        format!("users/{id}"),
        format!("users('{id}')"),
        "users/o'hara_x.com%23EXT%23@CONTOSO.com".to_owned(),
        "users(userPrincipalName='o''hara_x.com%23ext%23@contoso.com')".to_owned(),
        "users(userPrincipalName=%27o%27%27hara_x.com%23EXT%23%40contoso.com%27)".to_owned(),
    ] {
        let (status, user) = bench.get(&path).await;
        assert_eq!((status, &user["userPrincipalName"]), (200, &json!(guest)), "{path}");
    }
    assert_eq!(bench.get(&format!("users/{}", Uuid::nil())).await.0, 404);
    let (status, body) = bench.get("../beta/users").await;
    assert_eq!((status, code(&body)), (400, "BadRequest"));
}

#[tokio::test]
async fn pages() {
    let bench = Bench::start(Options::default()).await;
    for number in 0..25 {
        let user = NewUser::new(&format!("u{number}@contoso.com")).with("city", "Bern & Co");
        bench.graph.add_user(user);
    }
    let query = "$filter=city%20eq%20'Bern%20%26%20Co'&$select=id&$top=10";
    let mut link = Some(format!("{}/users?{query}", bench.graph.endpoint()));
    let mut sizes = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some(url) = link {
        let answer = bench.http.get(url).bearer_auth(&bench.token).send().await;
        let (_, page) = parts(answer.expect("a page")).await;
        let users = page["value"].as_array().expect("users");
        sizes.push(users.len());
        seen.extend(users.iter().map(|user| user["id"].to_string()));
        link = page["@odata.nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!((sizes, seen.len()), (vec![10, 10, 5], 25));

    assert_eq!(bench.get("users?$count=true").await.1.get("@odata.count"), None);
    let url = format!("{}/users?$count=true&$top=1", bench.graph.endpoint());
    let request = bench.http.get(url).bearer_auth(&bench.token);
    let answer = request.header("ConsistencyLevel", "eventual").send().await;
    assert_eq!(parts(answer.expect("a page")).await.1["@odata.count"], 25);
}

#[tokio::test]
async fn managers_and_members() {
    let roles = ["User.ReadWrite.All", "GroupMember.ReadWrite.All"];
    let bench = Bench::with_roles(&roles).await;
    let ada = bench.graph.add_user(NewUser::new("ada@contoso.com"));
    let bob = bench.graph.add_user(NewUser::new("bob@contoso.com"));
    let link = |id: Uuid| {
        Some(
            json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{id}")}),
        )
    };
    let path = format!("users/{ada}/manager");
    let manager_ref = format!("{path}/$ref");
    assert_eq!(bench.delete(&manager_ref).await, 404);
    assert_eq!(bench.send(Method::PUT, &manager_ref, link(bob)).await.status(), 204);
    assert_eq!(bench.get(&path).await.1["id"], json!(bob));
    assert_eq!(bench.get(&manager_ref).await.0, 200);
    assert_eq!(bench.send(Method::PUT, &manager_ref, link(Uuid::nil())).await.status(), 404);
    assert_eq!(bench.delete(&manager_ref).await, 204);
    assert_eq!(bench.get(&path).await.0, 404);

    let group = bench.graph.add_group(GroupKind::Assigned);
    let members = format!("groups/{group}/members");
    let add = async |group: Uuid, id| {
        let path = format!("groups/{group}/members/$ref");
        bench.send(Method::POST, &path, link(id)).await.status().as_u16()
    };
    assert_eq!(add(group, bob).await, 204);
    assert_eq!(add(group, bob).await, 400, "already a member");
    assert_eq!(add(group, Uuid::nil()).await, 404);
    assert_eq!(add(Uuid::nil(), bob).await, 404);
    assert_eq!(bench.get(&members).await.1["value"][0]["id"], json!(bob));
    assert_eq!(bench.delete(&format!("{members}/{ada}/$ref")).await, 404);
    assert_eq!(bench.delete(&format!("{members}/{bob}/$ref")).await, 204);
    assert!(bench.graph.user(bob).is_some());
    for (kind, status) in [
        (GroupKind::Dynamic, 400),
        (GroupKind::Synced, 400),
        (GroupKind::MailEnabled, 403),
        (GroupKind::RoleAssignable, 403),
    ] {
        assert_eq!(add(bench.graph.add_group(kind), bob).await, status, "{kind:?}");
    }

    assert_eq!(add(group, bob).await, 204);
    assert_eq!(bench.delete(&format!("{members}/{bob}")).await, 204);
    assert!(bench.graph.user(bob).is_none(), "without $ref the user itself goes");
}

#[tokio::test]
async fn faults_come_and_go() {
    let bench = Bench::start(Options::default()).await;
    let id = bench.graph.add_user(NewUser::new("ada@contoso.com"));
    let faults = bench.graph.faults();
    let disable = || {
        bench.try_send(
            Method::PATCH,
            "users/ada@contoso.com",
            Some(json!({"accountEnabled": false})),
        )
    };

    faults.set(|set| set.down = true);
    assert_eq!(bench.get("organization").await.0, 503);
    faults.clear();
    faults.set(|set| set.throttle = Some(7));
    let answer = disable().await.expect("an answer");
    assert_eq!(answer.headers()["retry-after"], "7");
    let (status, body) = parts(answer).await;
    assert_eq!((status, code(&body)), (429, "TooManyRequests"));
    faults.clear();
    faults.fail_user(id, Some(409));
    let body = parts(disable().await.expect("an answer")).await.1;
    assert_eq!(code(&body), "Directory_ConcurrencyViolation");
    assert_eq!(bench.get("organization").await.0, 200);
    faults.fail_user(id, None);

    faults.set(|set| set.reset = true);
    assert!(disable().await.is_err());
    assert_eq!(bench.graph.user(id).map(|user| user.account_enabled()), Some(true));
    faults.clear();
    faults.set(|set| set.lose_answer = true);
    assert!(disable().await.is_err());
    assert_eq!(bench.graph.user(id).map(|user| user.account_enabled()), Some(false));
    faults.clear();
    assert_eq!(disable().await.map(|answer| answer.status()).ok(), Some(StatusCode::NO_CONTENT));
}

#[tokio::test]
async fn hanging_requests_are_dropped_when_the_fault_ends_or_the_server_stops() {
    let bench = Bench::start(Options::default()).await;
    bench.graph.faults().set(|set| set.hang = true);
    let asked = bench.graph.log().len();
    let (answer, ()) = tokio::join!(bench.try_send(Method::GET, "organization", None), async {
        bench.graph.wait_until(|graph| graph.log().len() > asked).await;
        bench.graph.faults().clear();
    });
    assert!(answer.is_err());

    bench.graph.faults().set(|set| set.hang = true);
    let Bench { graph, http, token } = bench;
    let url = format!("{}/organization", graph.endpoint());
    let asked = graph.log().len();
    let request = http.get(&url).bearer_auth(&token);
    let (answer, ()) = tokio::join!(request.send(), async move {
        graph.wait_until(|graph| graph.log().len() > asked).await;
    });
    assert!(answer.is_err(), "dropping the simulator ends what hangs");
    assert!(http.get(&url).send().await.is_err(), "nobody listens");
}

#[tokio::test]
async fn writes_are_throttled() {
    let options =
        Options { write_limit: Some((2, Duration::from_secs(3600))), ..Options::default() };
    let bench = Bench::start(options).await;
    let id = bench.graph.add_user(NewUser::new("ada@contoso.com"));
    let disable = || json!({"accountEnabled": false});
    assert_eq!(bench.patch(id, disable()).await.0, 204);
    assert_eq!(bench.patch(id, disable()).await.0, 204);
    let path = format!("users/{id}");
    let answer = bench.send(Method::PATCH, &path, Some(disable())).await;
    assert_eq!(answer.status(), 429);
    let header = |name: &str| answer.headers()[name].to_str().unwrap_or_default();
    assert!(header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 1800));
    assert!(header("x-ms-throttle-scope").starts_with("Tenant_Application/Write/"));
    assert_eq!(header("x-ms-throttle-information"), "WriteLimitExceeded");
    assert_eq!(header("x-ms-throttle-limit-percentage"), "1.5");
    assert_eq!(bench.get(&path).await.0, 200, "reads go on");
}

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::super::fake::{Fake, settings, torrent};
use crate::api::{ApiConfig, Listen, serve};

const ID: &str = "x-transmission-session-id";

#[tokio::test]
async fn who_sends_no_session_id_is_told_it_and_served_with_it() {
    let fake = Fake::new(vec![torrent(1)], settings());
    let config = ApiConfig {
        listen: Listen::Tcp("127.0.0.1:0".parse().unwrap()),
        ..ApiConfig::default()
    };
    let server = serve(config, fake.daemon.clone()).await.unwrap();
    let base = format!("http://{}", server.addr());
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let send = async |method: Method, path: &str, id: Option<&str>| -> Response {
        let request = client.request(method, format!("{base}{path}"));
        let request = match id {
            Some(id) => request.header(ID, id),
            None => request,
        };
        let body = json!({"method": "session-get", "arguments": {"fields": ["session-id"]}});
        request.body(body.to_string()).send().await.unwrap()
    };
    // clients ask for it by any method
    let mut id = String::new();
    for method in [Method::GET, Method::POST] {
        let refused = send(method, "/transmission/rpc", None).await;
        assert_eq!(refused.status(), StatusCode::CONFLICT);
        id = refused.headers()[ID].to_str().unwrap().to_owned();
        assert!(
            refused
                .text()
                .await
                .unwrap()
                .contains(&format!("X-Transmission-Session-Id: {id}"))
        );
    }
    let wrong = send(Method::POST, "/transmission/rpc", Some("wrong")).await;
    assert_eq!(wrong.status(), StatusCode::CONFLICT);
    assert_eq!(wrong.headers()[ID], id);
    // as transmission-remote writes the path
    for path in [
        "/transmission/rpc",
        "/transmission/rpc/",
        "/transmission//rpc/",
    ] {
        let answer = send(Method::POST, path, Some(&id)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/json; charset=UTF-8"
        );
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(answer["arguments"], json!({"session-id": id}));
    }
    let get = send(Method::GET, "/transmission/rpc", Some(&id)).await;
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
    let page = send(Method::GET, "/transmission/web/", None).await;
    assert_eq!(page.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(page.headers()["location"], "/");
    server.shutdown().await;
}

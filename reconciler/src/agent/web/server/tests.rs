//! The listeners, over real sockets; slow clients without one, so that time can be paused.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::DropGuard;

use super::*;
use crate::agent::{
    Trigger,
    web::hooks::{HookSecret, HookTarget},
};

struct Served {
    address: SocketAddr,
    ended: JoinHandle<()>,
    stop: DropGuard,
}

async fn served(routes: Router) -> Served {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let ended = tokio::spawn(serve(listener, routes, None, stop.clone()));
    Served { address, ended, stop: stop.drop_guard() }
}

/// Sends a request as it is, and returns the answer as it comes.
async fn send(to: &Served, request: &str) -> String {
    let mut socket = TcpStream::connect(to.address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer).await;
    answer
}

async fn get(to: &Served, path: &str) -> String {
    send(to, &format!("GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n")).await
}

fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn at_work() -> Web {
    let web = Web::default();
    web.vitals.begin(Instant::now());
    web.vitals.listed();
    web
}

fn waiting(web: &Web) -> Trigger {
    let trigger = Trigger::default();
    let secrets = vec![HookSecret::new("It's a Secret to Everybody").unwrap()];
    let key = SyncKey { namespace: "lab".into(), name: "gpu".into() };
    let refused = Trigger::default();
    web.hooks.set(key, HookTarget { secrets, trigger: trigger.clone(), refused });
    trigger
}

fn push(path: &str, signature: &str) -> String {
    let body = "Hello, World!";
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: agent\r\nX-GitHub-Event: push\r\n\
         X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

const RIGHT: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const WRONG: &str = "057107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

#[tokio::test]
async fn kubernetes_sees_when_it_is_ready() {
    let web = Web::default();
    let to = served(status_routes(web.clone())).await;
    web.vitals.begin(Instant::now());
    assert_eq!(code(&get(&to, "/livez").await), "200");
    assert_eq!(code(&get(&to, "/readyz").await), "503");
    web.vitals.listed();
    assert_eq!(code(&get(&to, "/readyz").await), "200");
    assert_eq!(code(&get(&to, "/hooks/lab/gpu").await), "404", "not on this listener");
}

#[tokio::test]
async fn prometheus_reads_openmetrics() {
    let to = served(status_routes(Web::default())).await;
    let answer = get(&to, "/metrics").await;
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}

#[tokio::test]
async fn a_push_is_accepted_and_pulls() {
    let web = at_work();
    let trigger = waiting(&web);
    let to = served(hook_routes(web.clone())).await;
    assert_eq!(code(&send(&to, &push("/hooks/lab/gpu", RIGHT)).await), "202");
    trigger.pulled().await;
    let text = web.metrics.text(Instant::now());
    let counted = r#"sitewright_webhooks_total{forge="github",result="pulled"} 1"#;
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn a_wrong_signature_and_an_unknown_target_get_the_same_answer() {
    let web = at_work();
    waiting(&web);
    let to = served(hook_routes(web)).await;
    let answer = async |path, signature| {
        let answer = send(&to, &push(path, signature)).await;
        let lines = answer.lines().filter(|line| !line.starts_with("date:"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let wrong = answer("/hooks/lab/gpu", WRONG).await;
    assert_eq!(code(&wrong), "401");
    assert_eq!(wrong, answer("/hooks/lab/cpu", WRONG).await);
    assert_eq!(wrong, answer("/hooks/lab/cpu", RIGHT).await);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_before_it_is_read() {
    let to = served(hook_routes(at_work())).await;
    let length = LARGEST + 1;
    let request = format!(
        "POST /hooks/lab/gpu HTTP/1.1\r\nHost: agent\r\nX-GitHub-Event: push\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    assert_eq!(code(&send(&to, &request).await), "413");
}

#[tokio::test]
async fn a_message_that_does_not_say_its_length_is_read_up_to_the_limit() {
    let chunks = vec![0_u8; LARGEST + 1];
    let (code, result) = read(Body::from(chunks)).await.unwrap_err();
    assert_eq!((code, result), (StatusCode::PAYLOAD_TOO_LARGE, Hooked::TooLarge));
    assert_eq!(read(Body::from(vec![0_u8; LARGEST])).await.unwrap().len(), LARGEST);
}

#[tokio::test]
async fn who_stands_by_says_so() {
    let web = Web::default();
    web.vitals.stand_by();
    let to = served(hook_routes(web)).await;
    assert_eq!(code(&send(&to, &push("/hooks/lab/gpu", RIGHT)).await), "503");
}

#[tokio::test]
async fn nothing_but_post_is_for_hooks() {
    let to = served(hook_routes(at_work())).await;
    assert_eq!(code(&get(&to, "/hooks/lab/gpu").await), "405");
    assert_eq!(code(&get(&to, "/metrics").await), "404");
}

#[tokio::test]
async fn a_request_under_way_is_answered_when_it_stops() {
    let web = at_work();
    waiting(&web);
    let to = served(hook_routes(web)).await;
    let request = push("/hooks/lab/gpu", RIGHT);
    let (first, last) = request.split_at(request.len() - 1);
    let mut socket = TcpStream::connect(to.address).await.unwrap();
    socket.write_all(first.as_bytes()).await.unwrap();
    // another request that is answered: by then the first one was accepted
    assert_eq!(code(&send(&to, &push("/hooks/lab/gpu", WRONG)).await), "401");
    drop(to.stop);
    socket.write_all(last.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert_eq!(code(&answer), "202");
    to.ended.await.unwrap();
    assert!(TcpStream::connect(to.address).await.is_err(), "nobody listens any more");
}

// === slow clients ===

/// Opens a connection that sends `begin` and then as it likes.
async fn slow(routes: Router, begin: &str) -> DuplexStream {
    let (mut ours, theirs) = duplex(LARGEST);
    tokio::spawn(connection(theirs, routes));
    ours.write_all(begin.as_bytes()).await.unwrap();
    ours
}

/// A message whose body does not come.
fn half_a_push() -> String {
    let push = push("/hooks/lab/gpu", RIGHT);
    push.strip_suffix("World!").unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_head_or_half_of_one_is_let_go() {
    for begin in ["", "GET /livez HTTP/1.1\r\nHost: agent\r\n"] {
        let (mut client, began) = (slow(status_routes(at_work()), begin).await, Instant::now());
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_ne!(code(&answer), "200");
        assert!(began.elapsed() >= HEAD, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_body_does_not_come_is_not_waited_for() {
    let web = at_work();
    let trigger = waiting(&web);
    let mut client = slow(hook_routes(web.clone()), &half_a_push()).await;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(code(&answer), "408");
    assert!(timeout(HEAD, trigger.pulled()).await.is_err(), "nobody pushed");
    let text = web.metrics.text(Instant::now());
    let counted = r#"sitewright_webhooks_total{forge="github",result="late"} 1"#;
    assert!(text.contains(counted), "{text}");
}

#[tokio::test(start_paused = true)]
async fn who_keeps_sending_a_byte_at_a_time_is_let_go_all_the_same() {
    for begin in [half_a_push(), "GET / HTTP/1.1\r\nx: ".to_owned()] {
        let begin = begin.replace("Content-Length: 13", "Content-Length: 1000");
        let (mut from, mut to) = tokio::io::split(slow(hook_routes(at_work()), &begin).await);
        let drip = tokio::spawn(async move {
            while to.write_all(b"a").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let mut answer = String::new();
        from.read_to_string(&mut answer).await.unwrap();
        assert!(matches!(code(&answer), "" | "408"), "{answer}");
        drip.abort();
    }
}

//! What the page answers, address by address.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Json, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::changes::{self, On, Wish};
use super::door::{Answered, TO_ASK};
use super::gate::{Refused, judge};
use super::past::{self, Part};
use super::{Shared, follow, html, metrics};
use crate::log::json_line;
use crate::up::board::JobBoard;
use crate::up::report::Report;

/// No wish is longer.
const LONGEST: usize = 64 * 1024;
/// What a wish may have.
const FIELDS: &str = "the body must be one JSON object with the text \"job\" and no other fields than the texts \"replica\", \"path\", \
     \"path_bytes\" (base64) and \"at\" (a time), and the numbers \"pass\" and \"steps\"";

#[derive(Clone)]
struct Place {
    shared: Arc<Shared>,
    at: SocketAddr,
    ended: watch::Receiver<bool>,
    policy: HeaderValue,
}

pub(crate) fn router(shared: Arc<Shared>, at: SocketAddr, ended: watch::Receiver<bool>) -> Router {
    let place = Place { shared, at, ended, policy: html::policy() };
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(health))
        .route("/metrics", get(figures))
        .route("/api/status", get(status))
        .route("/api/events", get(events))
        .route("/api/history", get(history))
        .route("/api/trash", get(trash))
        .route("/api/day", get(day))
        .route("/api/restore", post(restore))
        .route("/api/undo", post(undo))
        .route("/api/resume", post(resume))
        .route("/api/pass", post(pass))
        .fallback(async || Refused(StatusCode::NOT_FOUND, "there is nothing at this address".to_owned()))
        .method_not_allowed_fallback(async || {
            Refused(StatusCode::METHOD_NOT_ALLOWED, "this address is not asked in this way".to_owned())
        })
        .layer(DefaultBodyLimit::max(LONGEST))
        .layer(from_fn_with_state(place.clone(), guard))
        .with_state(place)
}

/// Judges each request, and says of each answer what a browser may do with it.
async fn guard(State(place): State<Place>, request: Request, next: Next) -> Response {
    let head = (request.method(), request.uri(), request.headers());
    let mut response = match judge(place.at, &place.shared.token, head) {
        Ok(()) => {
            let visitor = request.extensions().get::<ConnectInfo<Answered>>();
            let _answering = visitor.map(|visitor| visitor.0.begins());
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    };
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, place.policy);
    response
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{}\n", self.1))
            .into_response()
    }
}

/// Reads what is on disks, which may be slow, beside the answers that need none.
async fn beside<T: Send + 'static>(
    place: &Place,
    read: impl FnOnce(&Shared) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let shared = Arc::clone(&place.shared);
    let done = tokio::task::spawn_blocking(move || read(&shared)).await;
    done.unwrap_or_else(|_| {
        let why = "a fault in alike itself; nothing more is known. Please report it".to_owned();
        Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, why))
    })
}

async fn report(place: &Place) -> Result<Report, Refused> {
    beside(place, |shared| Ok(shared.board.report())).await
}

fn typed(form: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, form)], Body::from(text)).into_response()
}

fn json(value: &impl serde::Serialize) -> Response {
    typed("application/json", json_line(value))
}

async fn page(State(place): State<Place>) -> Result<Response, Refused> {
    Ok(typed("text/html; charset=utf-8", html::page(&report(&place).await?)))
}

async fn health(State(place): State<Place>) -> Result<Response, Refused> {
    let report = report(&place).await?;
    let mut text = String::new();
    for job in &report.jobs {
        for replica in job.replicas.iter().filter(|replica| !replica.well) {
            let state = replica.state.word();
            text.push_str(&format!("{}  {}  {state}", job.name, replica.replica));
            match (replica.why.as_str(), replica.lag_ms / 1000) {
                ("", 0) => {}
                ("", behind) => text.push_str(&format!("  {behind} s behind")),
                (why, _) => text.push_str(&format!("  {why}")),
            }
            text.push('\n');
        }
    }
    let form = "text/plain; charset=utf-8";
    if text.is_empty() {
        return Ok(typed(form, "ok\n".to_owned()));
    }
    Ok((StatusCode::SERVICE_UNAVAILABLE, typed(form, text)).into_response())
}

async fn figures(State(place): State<Place>, headers: HeaderMap) -> Result<Response, Refused> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = metrics::Form::wanted(accept);
    Ok(typed(form.name(), metrics::metrics(&report(&place).await?, form)))
}

async fn status(State(place): State<Place>) -> Result<Response, Refused> {
    Ok(json(&report(&place).await?))
}

async fn events(State(place): State<Place>, headers: HeaderMap) -> impl IntoResponse {
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
    follow::follow(Arc::clone(&place.shared), last, place.ended.clone()).await
}

/// What a question is about.
#[derive(Deserialize)]
struct About {
    job: String,
    replica: Option<String>,
    before: Option<u64>,
    limit: Option<usize>,
}

impl About {
    fn part(&self, usual: usize) -> Part {
        Part { before: self.before.unwrap_or(u64::MAX), limit: self.limit.unwrap_or(usual).clamp(1, 500) }
    }
}

/// The replica that is meant: its job, and its number in it.
fn found(shared: &Shared, job: &str, replica: Option<&str>) -> Result<(Arc<JobBoard>, usize), Refused> {
    let unknown = |text: String| Refused(StatusCode::NOT_FOUND, text);
    let jobs = shared.board.jobs();
    let board = jobs.into_iter().find(|board| *board.name == *job);
    let board = board.ok_or_else(|| unknown(format!("there is no job {job}")))?;
    let meant: Vec<usize> = (0..board.replicas.len())
        .filter(|number| replica.is_none_or(|replica| *board.replicas[*number].shown == *replica))
        .collect();
    match meant.as_slice() {
        [number] => Ok((board, *number)),
        [] => Err(unknown(format!("the job {job} has no such replica"))),
        _ => Err(Refused(StatusCode::BAD_REQUEST, format!("the job {job} has several; say which replica"))),
    }
}

async fn history(State(place): State<Place>, Query(about): Query<About>) -> Result<Response, Refused> {
    let read = move |shared: &Shared| {
        let (job, number) = found(shared, &about.job, about.replica.as_deref())?;
        Ok(past::passes(&job.replicas[number].path, about.part(20))?)
    };
    Ok(json(&beside(&place, read).await?))
}

async fn trash(State(place): State<Place>, Query(about): Query<About>) -> Result<Response, Refused> {
    let read = move |shared: &Shared| {
        let (job, number) = found(shared, &about.job, about.replica.as_deref())?;
        Ok(past::trash(&job.replicas[number].path, about.part(100))?)
    };
    Ok(json(&beside(&place, read).await?))
}

async fn day(State(place): State<Place>, Query(about): Query<About>) -> Result<Response, Refused> {
    let (job, number) = found(&place.shared, &about.job, about.replica.as_deref())?;
    let day = job.replicas[number].record.day();
    let minutes: Vec<_> = day.minutes().collect();
    Ok(json(&serde_json::json!({ "now": jiff::Timestamp::now().as_second() / 60, "minutes": minutes })))
}

/// A wish as it was sent, or why it is none, in words of ours.
struct Sent(Wish);

impl FromRequest<Place> for Sent {
    type Rejection = Refused;

    async fn from_request(request: Request, place: &Place) -> Result<Self, Refused> {
        let refused = |status, why: &str| Err(Refused(status, why.to_owned()));
        let Ok(read) = tokio::time::timeout(TO_ASK, Json::<Wish>::from_request(request, place)).await else {
            return refused(StatusCode::REQUEST_TIMEOUT, "the body did not come within 10 s");
        };
        let status = match read {
            Ok(Json(wish)) => return Ok(Self(wish)),
            Err(why) => why.status(),
        };
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => refused(status, "the body is longer than 64 KiB"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                refused(status, "the body is JSON, with the header Content-Type: application/json")
            }
            _ => refused(status, FIELDS),
        }
    }
}

async fn restore(place: State<Place>, wish: Sent) -> Result<Response, Refused> {
    change(place, wish, |on, wish| on.restore(wish)).await
}

async fn undo(place: State<Place>, wish: Sent) -> Result<Response, Refused> {
    change(place, wish, |on, wish| on.undo(wish)).await
}

async fn resume(place: State<Place>, wish: Sent) -> Result<Response, Refused> {
    change(place, wish, |on, _| on.resume()).await
}

async fn pass(State(place): State<Place>, Sent(wish): Sent) -> Result<Response, Refused> {
    Ok(json(&beside(&place, move |shared| changes::pass(shared, &wish.job)).await?))
}

async fn change(
    State(place): State<Place>,
    Sent(wish): Sent,
    change: impl FnOnce(&On<'_>, &Wish) -> Result<Value, Refused> + Send + 'static,
) -> Result<Response, Refused> {
    let done = beside(&place, move |shared| {
        let (job, number) = found(shared, &wish.job, wish.replica.as_deref())?;
        let on = On { shared, job: &job, number };
        let done = change(&on, &wish);
        job.replicas[number].on_replica.forget();
        shared.news.wake();
        done
    });
    Ok(json(&done.await?))
}

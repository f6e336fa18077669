//! Requests to the daemon's `/api/v1`, over TCP or a Unix socket.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;

use super::args::ApiArgs;
use crate::cli::config;
use crate::cli::exit::{Code, Failure};
use crate::daemon::config::{ApiListen, Places, Secret, Sources, read_password};
use crate::discovery::http;

/// How long an answer may take: to fetch a URL, the daemon has half a minute.
const PATIENCE: Duration = Duration::from_secs(60); // guess: twice that
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 20; // guess: 10,000 torrents take 12 MiB
/// The variable of the environment that holds the password.
const PASSWORD: &str = "CHUNKCAST_API_PASSWORD";

/// The variable of the environment that holds the name that goes with it.
const USER: &str = "CHUNKCAST_API_USER";

/// A daemon.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    base: Url,
    /// As a user would name it.
    name: String,
    user: String,
    password: Option<Secret>,
}

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Url(Url),
    Unix(PathBuf),
}

impl Api {
    /// The daemon that is named, or the one that the configuration of this machine is for.
    ///
    /// # Errors
    /// Code 2 for what is no place, and for mistakes in the configuration.
    pub(super) fn open(args: &ApiArgs) -> Result<Self, Failure> {
        let mut user = std::env::var(USER).unwrap_or_default();
        let mut password = std::env::var(PASSWORD).ok().map(Secret);
        let place = match &args.api {
            // the password of this machine's daemon is not for others
            Some(text) => named(text)?,
            None => {
                let loaded = config::load(&Sources::new(configuration()))?;
                let api = loaded.config.api;
                user = api.user.unwrap_or_default();
                password = api.password;
                listens(&api.listen)
            }
        };
        if let Some(path) = &args.password_file {
            let read = read_password(path);
            password =
                Some(read.map_err(|e| Failure::new(Code::Usage, format!("--password-file {e}")))?);
        }
        let (client, mut base, name) = match place {
            Place::Unix(path) => {
                let client = http::builder().unix_socket(path.clone());
                let base = Url::parse("http://localhost/").expect("a constant URL");
                (client, base, format!("unix:{}", path.display()))
            }
            Place::Url(url) => {
                let mut name = url.clone();
                // never shown
                let _ = name.set_username("").and_then(|()| name.set_password(None));
                (http::builder(), url, name.to_string())
            }
        };
        if let Some(secret) = base.password() {
            let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
            user = decode(base.username()).into_owned();
            password = Some(Secret(decode(secret).into_owned()));
        }
        let _ = base.set_username("").and_then(|()| base.set_password(None));
        let client = match base.scheme() {
            "http" => client.tls_certs_only([]),
            _ => client,
        };
        let client = client.timeout(PATIENCE).build().map_err(|_| {
            let line =
                "https needs CA certificates and this system has none; install ca-certificates";
            Failure::new(Code::Network, line)
        })?;
        Ok(Self {
            client,
            base,
            name,
            user,
            password,
        })
    }

    /// Asks; `path` is below `/api/v1`. `Null` for an answer without a body.
    ///
    /// # Errors
    /// Code 4 when nobody answers, 2 without the right password or for what makes no sense, 6 for the daemon's disk, 1 for
    /// what is not possible.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let url = format!("{}api/v1{path}", self.base);
        let mut request = self
            .client
            .request(method, url)
            .header("X-Chunkcast", "1")
            .header("Accept", "application/json");
        if let Some(Secret(password)) = &self.password {
            request = request.basic_auth(&self.user, Some(password));
        }
        if let Some(body) = body {
            let text = body.to_string();
            request = request
                .header("Content-Type", "application/json")
                .body(text);
        }
        let answer = request.send().await.map_err(|e| self.unanswered(e))?;
        let status = answer.status();
        let bytes = self.read(answer).await?;
        if status.is_success() && bytes.is_empty() {
            return Ok(Value::Null);
        }
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        match (status.is_success(), value) {
            (true, Some(value)) => Ok(value),
            (true, None) => Err(self.no_daemon()),
            (false, value) => Err(self.refused(status, value.as_ref())),
        }
    }

    async fn read(&self, mut answer: Response) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|e| self.unanswered(e))? {
            if bytes.len() + part.len() > MAX_ANSWER {
                return Err(self.no_daemon());
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    fn unanswered(&self, error: reqwest::Error) -> Failure {
        use http::HttpError::{BadCertificate, Connect, Dns, NoCertificates, Timeout};
        let name = &self.name;
        let line = match http::classify(error) {
            Timeout => format!("the daemon at {name} does not answer in time"),
            Dns => format!("{name}: the host name cannot be resolved"),
            NoCertificates | BadCertificate => format!("{name}: its certificate is not trusted"),
            Connect(why) => format!(
                "no daemon listens at {name} ({why}); start one with `chunkcast daemon`, or name another with --api"
            ),
            other => format!("{name} is no daemon of ChunkCast ({other:?})"),
        };
        Failure::new(Code::Network, line)
    }

    fn no_daemon(&self) -> Failure {
        let line = format!(
            "{} is no daemon of ChunkCast; name another with --api",
            self.name
        );
        Failure::new(Code::Network, line)
    }

    fn refused(&self, status: StatusCode, answer: Option<&Value>) -> Failure {
        let name = &self.name;
        let Some(said) = answer.and_then(|a| a["error"].as_str()) else {
            return self.no_daemon();
        };
        match status {
            StatusCode::UNAUTHORIZED => {
                let given = match self.password {
                    Some(_) => "another password than the one given",
                    None => "a password",
                };
                let line = format!(
                    "the daemon at {name} wants {given}: name its file with --password-file, or set {PASSWORD}"
                );
                Failure::new(Code::Usage, line)
            }
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::PAYLOAD_TOO_LARGE => {
                Failure::new(Code::Usage, said)
            }
            StatusCode::INSUFFICIENT_STORAGE => Failure::new(Code::Disk, said),
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => {
                Failure::new(Code::Network, said)
            }
            _ => Failure::new(Code::Other, said),
        }
    }
}

/// The configuration that a client reads: the user's, or else that of the machine's service.
fn configuration() -> Option<PathBuf> {
    let user = Places::of_user().config;
    if user.is_some_and(|path| path.exists()) {
        return None;
    }
    Places::of_system().config.filter(|path| path.exists())
}

/// What `--api` names.
fn named(text: &str) -> Result<Place, Failure> {
    let wrong = || {
        let line =
            format!("--api `{text}`: write http://HOST:PORT, https://HOST:PORT or unix:/PATH");
        Failure::new(Code::Usage, line)
    };
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            "" => Err(wrong()),
            path => Ok(Place::Unix(path.into())),
        };
    }
    // HOST:PORT would be a URL with the scheme HOST
    let text = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    match Url::parse(&text) {
        Ok(mut url) if matches!(url.scheme(), "http" | "https") => {
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            url.set_query(None);
            url.set_fragment(None);
            Ok(Place::Url(url))
        }
        _ => Err(wrong()),
    }
}

/// Where to reach who listens there.
fn listens(listen: &ApiListen) -> Place {
    match listen {
        ApiListen::Unix(path) => Place::Unix(path.clone()),
        ApiListen::Tcp(addr) => {
            let mut addr = *addr;
            if addr.ip().is_unspecified() {
                addr.set_ip(match addr.is_ipv4() {
                    true => std::net::Ipv4Addr::LOCALHOST.into(),
                    false => std::net::Ipv6Addr::LOCALHOST.into(),
                });
            }
            let url = Url::parse(&format!("http://{addr}/"));
            Place::Url(url.expect("an address makes a URL"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_an_address_or_a_socket() {
        let url = |text: &str| match named(text) {
            Ok(Place::Url(url)) => url.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(url("http://nas:9091"), "http://nas:9091/");
        assert_eq!(url("nas:9091"), "http://nas:9091/");
        assert_eq!(url("[::1]:9091"), "http://[::1]:9091/");
        assert_eq!(url("https://nas/chunkcast"), "https://nas/chunkcast/");
        assert_eq!(
            named("unix:/run/x").ok(),
            Some(Place::Unix("/run/x".into()))
        );
        for bad in ["", "unix:", "ftp://nas", "http://", "http://x:99999"] {
            let line = named(bad).expect_err(bad).to_string();
            assert!(
                line.contains("--api") && line.contains("unix:/PATH"),
                "{line}"
            );
        }
    }

    #[test]
    fn who_listens_everywhere_is_reached_here() {
        for (listen, url) in [
            ("0.0.0.0:9091", "http://127.0.0.1:9091/"),
            ("[::]:80", "http://[::1]/"),
            ("192.0.2.1:9091", "http://192.0.2.1:9091/"),
        ] {
            let listen = ApiListen::Tcp(listen.parse().expect("an address"));
            let expected = Place::Url(Url::parse(url).expect("a URL"));
            assert_eq!(listens(&listen), expected);
        }
    }
}

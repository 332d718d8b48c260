//! Asks another service whether a password has leaked, without telling it the password.

use std::time::Duration;

use hyper::StatusCode;
use reqwest::{Client, Url};
use sha1::{Digest, Sha1};

use super::error::ApiError;

const ANSWER_BYTES_MAX: usize = 256 * 1024;
const PREFIX_DIGITS: usize = 5;

pub(super) struct Leaked {
    client: Client,
    url: Url,
}

impl Leaked {
    pub(super) fn new(
        url: &str,
        time_max: Duration,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let url = Url::parse(&format!("{}/range/", url.trim_end_matches('/')))?;
        let client = Client::builder().timeout(time_max).build()?;
        Ok(Self { client, url })
    }

    /// The service learns the first five digits of the hash, which many passwords share.
    pub(super) async fn contains(&self, password: &str) -> Result<bool, ApiError> {
        let digest = hex(&Sha1::digest(password)).to_uppercase();
        let (prefix, suffix) = digest.split_at(PREFIX_DIGITS);
        let answer = self.ask(prefix).await.map_err(|error| {
            eprintln!("the service for leaked passwords: {error}");
            let text = "passwords cannot be checked at the moment";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
        })?;
        // Lines of `SUFFIX:COUNT`. One that was seen nought times is there to mislead listeners.
        let mut lines = answer.lines().filter_map(|line| line.split_once(':'));
        Ok(lines.any(|(other, count)| other.eq_ignore_ascii_case(suffix) && count.trim() != "0"))
    }

    async fn ask(&self, prefix: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let url = self.url.join(prefix)?;
        let mut response = self.client.get(url).send().await?.error_for_status()?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            answer.extend_from_slice(&chunk);
            if answer.len() > ANSWER_BYTES_MAX {
                return Err("its answer is too long".into());
            }
        }
        Ok(String::from_utf8(answer)?)
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

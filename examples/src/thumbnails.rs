//! Images scaled down on the compute lane.
//!
//! A small upload can hold an enormous image, so three things are bounded: the bytes of the body,
//! the pixels after decoding, and how many images are in memory at the same time.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::gate::Gate;
use crate::http::{Refusal, read_body, require_method, text};

/// Of the image that is asked for, in pixels.
const THUMBNAIL_SIDE_MAX: u32 = 2048;
/// Of the image that is sent, in pixels.
const IMAGE_SIDE_MAX: u32 = 16_384;

/// What a [`Thumbnails`] is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Images that are scaled at the same time.
    pub running_max: usize,
    /// Images that are being sent or wait for their turn; further ones are refused.
    pub waiting_max: usize,
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// How long a body may take.
    pub body_time_max: Duration,
    /// Bytes of an image's pixels.
    pub pixel_bytes_max: u64,
}

impl Config {
    /// The defaults: an image for each thread of the compute lane, and 16 that wait.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn new() -> Self {
        Self {
            running_max: evenkeel::runtime::Handle::current().compute_threads(),
            waiting_max: 16,
            body_bytes_max: 16 << 20,
            body_time_max: Duration::from_secs(30),
            pixel_bytes_max: 256 << 20,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// The service.
#[derive(Debug)]
pub struct Thumbnails {
    gate: Gate,
    config: Config,
}

impl Thumbnails {
    /// The service for [`server::serve`](crate::server::serve).
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::new(config.running_max, config.waiting_max),
            config,
        })
    }

    /// Answers a request.
    pub async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, mut body) = request.into_parts();
        match self.route(&head, &mut body).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(&head, body).await,
        }
    }

    async fn route(
        &self,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        match head.uri.path() {
            "/healthz" => {
                require_method(&head.method, "GET")?;
                Ok(text(StatusCode::OK, "ok"))
            }
            "/thumbnail" => {
                require_method(&head.method, "POST")?;
                self.thumbnail(head, body).await
            }
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "no such path")),
        }
    }

    async fn thumbnail(
        &self,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let (width, height) = size(head.uri.query().unwrap_or_default()).ok_or_else(|| {
            let text = "the query is width=...&height=..., each from 1 to 2048";
            Refusal::new(StatusCode::BAD_REQUEST, text)
        })?;
        // The place comes before the body, which is large.
        let place = self.gate.try_enter()?;
        let config = &self.config;
        let body = read_body(body, config.body_bytes_max, config.body_time_max).await?;
        let pixel_bytes_max = config.pixel_bytes_max;
        let (format, thumbnail) = place
            .compute(move || scale(&body, width, height, pixel_bytes_max))
            .await??;
        let mut response = Response::new(Full::new(thumbnail.into()));
        let content_type = HeaderValue::from_static(format.to_mime_type());
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        Ok(response)
    }
}

/// The box of the thumbnail: both parameters once, and no other.
fn size(query: &str) -> Option<(u32, u32)> {
    let (mut width, mut height) = (None, None);
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=')?;
        let side = match name {
            "width" => &mut width,
            "height" => &mut height,
            _ => return None,
        };
        let pixels = value
            .parse()
            .ok()
            .filter(|pixels| (1..=THUMBNAIL_SIDE_MAX).contains(pixels))?;
        if side.replace(pixels).is_some() {
            return None;
        }
    }
    width.zip(height)
}

/// Scales an image to fit into the box, in the format it came in. A smaller image keeps its size.
fn scale(
    data: &[u8],
    width: u32,
    height: u32,
    pixel_bytes_max: u64,
) -> Result<(ImageFormat, Vec<u8>), Refusal> {
    let format = image::guess_format(data)
        .ok()
        .filter(|format| matches!(format, ImageFormat::Jpeg | ImageFormat::Png))
        .ok_or_else(|| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send a PNG or JPEG"))?;
    let image = decode(data, format, pixel_bytes_max).map_err(|error| match error {
        ImageError::Limits(_) => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the image has too many pixels",
        ),
        ImageError::Unsupported(_) => Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a PNG or JPEG of an unknown kind",
        ),
        _ => Refusal::new(StatusCode::BAD_REQUEST, "the image is damaged"),
    })?;
    let image = if image.width() > width || image.height() > height {
        image.thumbnail(width, height)
    } else {
        image
    };
    let mut encoded = Cursor::new(Vec::new());
    image.write_to(&mut encoded, format).map_err(|_| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the thumbnail cannot be encoded",
        )
    })?;
    Ok((format, encoded.into_inner()))
}

/// As in browsers, a JPEG that breaks off after its header is taken as far as it goes; a PNG is
/// not.
fn decode(
    data: &[u8],
    format: ImageFormat,
    pixel_bytes_max: u64,
) -> Result<DynamicImage, ImageError> {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(IMAGE_SIDE_MAX);
    limits.max_image_height = Some(IMAGE_SIDE_MAX);
    limits.max_alloc = Some(pixel_bytes_max);
    let mut reader = ImageReader::with_format(Cursor::new(data), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    // Telephones save what the sensor saw, and how they were held.
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

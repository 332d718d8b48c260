//! The thumbnail service over HTTP, with real images and with what pretends to be some.

mod support;

use std::io::Cursor;

use evenkeel_examples::server::Limits;
use evenkeel_examples::thumbnails::{Config, Thumbnails};
use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use support::{Reply, Server, watchdog};

fn start() -> Server {
    start_with(|config| config)
}

fn start_with(change: impl FnOnce(Config) -> Config) -> Server {
    Server::start(Limits::default(), || {
        let service = Thumbnails::new(change(Config::new()));
        move |request| service.clone().handle(request)
    })
}

/// Red on the left, blue on the right.
fn red_and_blue(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, _| {
        if x < width / 2 {
            Rgb([255, 0, 0])
        } else {
            Rgb([0, 0, 255])
        }
    })
    .into()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut encoded = Cursor::new(Vec::new());
    image.write_to(&mut encoded, format).unwrap();
    encoded.into_inner()
}

fn decode(reply: &Reply, format: ImageFormat) -> DynamicImage {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], format.to_mime_type());
    image::load_from_memory_with_format(&reply.body, format).unwrap()
}

fn scale(server: &Server, query: &str, image: &[u8]) -> Reply {
    server.connect().post(
        &format!("/thumbnail?{query}"),
        "application/octet-stream",
        image,
    )
}

fn is_red(pixel: Rgba<u8>) -> bool {
    pixel[0] > 200 && pixel[2] < 55
}

fn is_blue(pixel: Rgba<u8>) -> bool {
    pixel[0] < 55 && pixel[2] > 200
}

#[test]
fn images_are_scaled_in_their_format() {
    watchdog(|| {
        let server = start();
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let image = encode(&red_and_blue(400, 200), format);
            for (query, dimensions) in [
                ("width=100&height=100", (100, 50)),
                ("height=10&width=2048", (20, 10)),
                ("width=1&height=1", (1, 1)),
                // Not made larger than it was.
                ("width=2048&height=2048", (400, 200)),
            ] {
                let thumbnail = decode(&scale(&server, query, &image), format);
                assert_eq!(thumbnail.dimensions(), dimensions, "{format:?} {query}");
            }
            let thumbnail = decode(&scale(&server, "width=40&height=40", &image), format);
            assert!(is_red(thumbnail.get_pixel(2, 10)) && is_blue(thumbnail.get_pixel(37, 10)));
        }
    });
}

#[test]
fn transparency_and_depth_are_kept() {
    watchdog(|| {
        let server = start();
        let image = RgbaImage::from_pixel(64, 64, Rgba([1, 2, 3, 0])).into();
        let reply = scale(
            &server,
            "width=8&height=8",
            &encode(&image, ImageFormat::Png),
        );
        assert_eq!(decode(&reply, ImageFormat::Png).get_pixel(4, 4)[3], 0);
        let image =
            DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(64, 64, image::Luma([513])));
        let reply = scale(
            &server,
            "width=8&height=8",
            &encode(&image, ImageFormat::Png),
        );
        assert_eq!(
            decode(&reply, ImageFormat::Png).into_luma16()[(4, 4)].0,
            [513]
        );
        let image = red_and_blue(64, 64).into_luma8().into();
        let reply = scale(
            &server,
            "width=8&height=8",
            &encode(&image, ImageFormat::Jpeg),
        );
        assert_eq!(
            decode(&reply, ImageFormat::Jpeg).color(),
            image::ColorType::L8
        );
    });
}

#[test]
fn a_photograph_is_turned_upright() {
    watchdog(|| {
        let server = start();
        let mut photograph = encode(&red_and_blue(80, 40), ImageFormat::Jpeg);
        // Exif in little-endian TIFF, with one entry: tag 0x112, a short, once, "turn right by 90
        // degrees".
        let exif = b"\xff\xe1\0\x22Exif\0\0II\x2a\0\x08\0\0\0\x01\0\
            \x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        photograph.splice(2..2, exif.iter().copied());
        let thumbnail = decode(
            &scale(&server, "width=40&height=40", &photograph),
            ImageFormat::Jpeg,
        );
        assert_eq!(thumbnail.dimensions(), (20, 40));
        assert!(is_red(thumbnail.get_pixel(10, 4)) && is_blue(thumbnail.get_pixel(10, 36)));
    });
}

#[test]
fn bad_requests_are_refused() {
    watchdog(|| {
        let server = start();
        let image = encode(&red_and_blue(4, 4), ImageFormat::Png);
        for query in [
            "",
            "width=1",
            "height=1",
            "width=0&height=1",
            "width=1&height=2049",
            "width=-1&height=1",
            "width=1.5&height=1",
            "width=99999999999999999999&height=1",
            "width=1&height=1&width=1",
            "width=1&height=1&depth=1",
            "width=1&height=",
            "width=1&height",
            "&width=1&height=1",
        ] {
            assert_eq!(scale(&server, query, &image).status, 400, "{query:?}");
        }
        let mut client = server.connect();
        assert_eq!(client.post("/thumbnail", "image/png", &image).status, 400);
        let reply = client.get("/thumbnail?width=1&height=1");
        assert_eq!(
            (reply.status, reply.headers["allow"].as_str()),
            (405, "POST")
        );
        assert_eq!(client.get("/").status, 404);
        assert_eq!(client.get("/healthz").status, 200);
    });
}

#[test]
fn what_is_no_png_or_jpeg_gets_415() {
    watchdog(|| {
        let server = start();
        for data in [
            &b""[..],
            b"\x89PN",
            b"hello",
            b"GIF89a\x01\0\x01\0\0\0\0",
            b"<svg/>",
            &[0; 1000],
        ] {
            assert_eq!(
                scale(&server, "width=1&height=1", data).status,
                415,
                "{data:?}"
            );
        }
    });
}

#[test]
fn damaged_images_get_400() {
    watchdog(|| {
        let server = start();
        let png = encode(&red_and_blue(200, 200), ImageFormat::Png);
        let jpeg = encode(&red_and_blue(200, 200), ImageFormat::Jpeg);
        for damaged in [
            &png[..16],
            &png[..40],
            &png[..png.len() / 2],
            &jpeg[..16],
            &jpeg[..40],
        ] {
            let reply = scale(&server, "width=1&height=1", damaged);
            assert_eq!(reply.status, 400, "{} bytes", damaged.len());
        }
        // As in browsers, a JPEG that breaks off is shown as far as it goes.
        let reply = scale(&server, "width=40&height=40", &jpeg[..jpeg.len() / 2]);
        assert!(is_red(decode(&reply, ImageFormat::Jpeg).get_pixel(2, 2)));
        // Whatever a decoder makes of it, a server that answers is still there afterwards.
        let image = encode(&red_and_blue(50, 50), ImageFormat::Jpeg);
        for index in (20..image.len()).step_by(7) {
            let mut image = image.clone();
            image[index] ^= 0xff;
            let status = scale(&server, "width=1&height=1", &image).status;
            assert!(
                [200, 400, 415, 422].contains(&status),
                "byte {index}: {status}"
            );
        }
        assert_eq!(server.connect().get("/healthz").status, 200);
    });
}

/// The head of a PNG of 8 bits of red, green and blue, which says no more than its size.
fn png_head(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(&header);
    png.extend(crc32(&header).to_be_bytes());
    png.extend(b"\0\0\0\0IDAT");
    png.extend(crc32(b"IDAT").to_be_bytes());
    png
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn images_of_too_many_pixels_get_422() {
    watchdog(|| {
        let server = start();
        for (width, height) in [(60_000, 60_000), (20_000, 1), (1, 20_000), (16_000, 16_000)] {
            let reply = scale(&server, "width=1&height=1", &png_head(width, height));
            assert_eq!(reply.status, 422, "{width} x {height}: {}", reply.text());
        }
        // A real one of 100 MB in 100 kB.
        let bomb = encode(&RgbImage::new(6000, 6000).into(), ImageFormat::Png);
        let small = start_with(|config| Config {
            pixel_bytes_max: 100_000_000,
            ..config
        });
        assert_eq!(scale(&small, "width=1&height=1", &bomb).status, 422);
        // A JPEG whose header has been given the largest size there is.
        let mut jpeg = encode(&red_and_blue(16, 16), ImageFormat::Jpeg);
        let frame = jpeg
            .windows(2)
            .position(|bytes| bytes == [0xff, 0xc0])
            .unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
        assert_eq!(scale(&server, "width=1&height=1", &jpeg).status, 422);
    });
}

#[test]
fn bodies_that_are_too_large_get_413() {
    watchdog(|| {
        let server = start();
        let mut client = server.connect();
        client.send(
            "POST /thumbnail?width=1&height=1 HTTP/1.1\r\n\
                expect: 100-continue\r\ncontent-length: 16777217\r\n\r\n",
        );
        assert_eq!(client.reply().status, 413);
        let small = start_with(|config| Config {
            body_bytes_max: 1000,
            ..config
        });
        assert_eq!(scale(&small, "width=1&height=1", &[0; 1001]).status, 413);
        assert_eq!(scale(&small, "width=1&height=1", &[0; 1000]).status, 415);
    });
}

#[test]
fn more_images_than_places_are_refused() {
    watchdog(|| {
        let server = start_with(|config| Config {
            running_max: 1,
            waiting_max: 1,
            ..config
        });
        let image = encode(&red_and_blue(20, 10), ImageFormat::Png);
        // Both are in once the server asks for their bodies.
        let mut uploads = [server.connect(), server.connect()];
        for client in &mut uploads {
            client.send(format!(
                "POST /thumbnail?width=10&height=10 HTTP/1.1\r\n\
                    expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
                image.len()
            ));
            assert_eq!(client.reply().status, 100);
        }
        let reply = scale(&server, "width=10&height=10", &image);
        assert_eq!(
            (reply.status, reply.headers["retry-after"].as_str()),
            (503, "1")
        );
        let blocked = server.block_compute_lane();
        uploads.iter_mut().for_each(|client| client.send(&image));
        assert_eq!(server.connect().get("/healthz").text(), "ok");
        assert_eq!(scale(&server, "width=10&height=10", &image).status, 503);
        drop(blocked);
        for client in &mut uploads {
            assert_eq!(
                decode(&client.reply(), ImageFormat::Png).dimensions(),
                (10, 5)
            );
        }
        let reply = scale(&server, "width=10&height=10", &image);
        assert_eq!(decode(&reply, ImageFormat::Png).dimensions(), (10, 5));
    });
}

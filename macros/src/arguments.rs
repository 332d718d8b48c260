//! What stands in the parentheses of the attribute.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Error, Ident, LitBool, LitInt, LitStr, Result, Token, bracketed, token};

/// The arguments that were given.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) flavor: Option<Flavor>,
    pub(crate) start_paused: Option<bool>,
    pub(crate) worker_threads: Option<usize>,
    pub(crate) pinning: Option<Pinning>,
    /// What the runtime is called.
    pub(crate) name: Option<LitStr>,
    /// The path of the `evenkeel` crate.
    pub(crate) krate: Option<TokenStream>,
    /// The first argument that is for workers: a flavor without them refuses it.
    for_workers: Option<Ident>,
}

/// Whose threads run the tasks.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Flavor {
    MultiThread,
    CurrentThread,
    /// As `CurrentThread`, with local tasks.
    Local,
}

impl Flavor {
    const ALL: [Flavor; 3] = [Self::MultiThread, Self::CurrentThread, Self::Local];

    fn name(self) -> &'static str {
        match self {
            Self::MultiThread => "multi_thread",
            Self::CurrentThread => "current_thread",
            Self::Local => "local",
        }
    }
}

pub(crate) enum Pinning {
    /// A variant of `evenkeel::runtime::Pinning`.
    Variant(&'static str),
    /// `Fence` with a variant of `evenkeel::runtime::Fence`.
    Fence(&'static str),
    Custom(Vec<usize>),
}

/// The strategies by the names that `evenkeel::runtime::Pinning` is parsed from.
const NAMES: [(&str, Pinning); 9] = [
    ("auto", Pinning::Variant("Auto")),
    ("none", Pinning::NONE),
    ("per_core", Pinning::Variant("PerCore")),
    ("compact", Pinning::Variant("Compact")),
    ("scatter", Pinning::Variant("Scatter")),
    ("compute_only", Pinning::Variant("ComputeOnly")),
    ("fence_cluster", Pinning::Fence("Cluster")),
    ("fence_l3", Pinning::Fence("L3")),
    ("fence_node", Pinning::Fence("Node")),
];

impl Pinning {
    pub(crate) const NONE: Self = Self::Variant("None");

    /// As an expression, with the path of the `evenkeel` crate.
    pub(crate) fn expression(&self, krate: &TokenStream) -> TokenStream {
        let ident = |name: &str| Ident::new(name, Span::call_site());
        let pinning = match self {
            Self::Variant(name) => ident(name).into_token_stream(),
            Self::Fence(name) => {
                let name = ident(name);
                quote!(Fence(#krate::runtime::Fence::#name))
            }
            Self::Custom(cpus) => quote!(Custom(::std::vec![#(#cpus),*])),
        };
        quote!(#krate::runtime::Pinning::#pinning)
    }
}

const KNOWN: &str =
    "the arguments are `flavor`, `worker_threads`, `pinning`, `start_paused`, `name` and `crate`";

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let span = input.span();
            let name = input.call(Ident::parse_any);
            let name =
                name.map_err(|_| Error::new(span, format!("expected an argument; {KNOWN}")))?;
            match name.to_string().as_str() {
                "flavor" => set(&mut arguments.flavor, &name, input, flavor)?,
                "worker_threads" => {
                    set(&mut arguments.worker_threads, &name, input, worker_threads)?;
                    arguments.for_workers.get_or_insert(name);
                }
                "pinning" => {
                    set(&mut arguments.pinning, &name, input, pinning)?;
                    arguments.for_workers.get_or_insert(name);
                }
                "start_paused" => set(&mut arguments.start_paused, &name, input, start_paused)?,
                "name" => set(&mut arguments.name, &name, input, runtime_name)?,
                "crate" => set(&mut arguments.krate, &name, input, krate)?,
                _ => {
                    return Err(Error::new(
                        span,
                        format!("unknown argument `{name}`; {KNOWN}"),
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

impl Arguments {
    /// The flavor, which is `default` where none was given.
    pub(crate) fn flavor_or(&self, default: Flavor) -> Result<Flavor> {
        let flavor = self.flavor.unwrap_or(default);
        match &self.for_workers {
            Some(name) if flavor != Flavor::MultiThread => {
                let remedy = match self.flavor {
                    Some(_) => "leave one of the two out",
                    None => "add `flavor = \"multi_thread\"`",
                };
                let message = format!(
                    "`{name}` is for workers, and the flavor \"{}\" has none: {remedy}",
                    flavor.name()
                );
                Err(Error::new(name.span(), message))
            }
            _ => Ok(flavor),
        }
    }
}

/// Parses `= value` of the argument `name`.
fn set<T>(
    slot: &mut Option<T>,
    name: &Ident,
    input: ParseStream<'_>,
    value: fn(ParseStream<'_>) -> Result<T>,
) -> Result<()> {
    if slot.is_some() {
        return Err(Error::new(name.span(), format!("`{name}` is set twice")));
    }
    let equals = input.parse::<Option<Token![=]>>()?;
    if equals.is_none() || input.is_empty() {
        return Err(Error::new(
            name.span(),
            format!("`{name}` needs a value: `{name} = ...`"),
        ));
    }
    *slot = Some(value(input)?);
    Ok(())
}

fn flavor(input: ParseStream<'_>) -> Result<Flavor> {
    const EXPECTED: &str = "`flavor` takes \"multi_thread\", \"current_thread\" or \"local\"";
    let name: LitStr = expect(input, EXPECTED)?;
    let text = name.value();
    let known = Flavor::ALL.into_iter().find(|known| known.name() == text);
    known.ok_or_else(|| Error::new(name.span(), EXPECTED))
}

fn worker_threads(input: ParseStream<'_>) -> Result<usize> {
    let expected = "`worker_threads` takes a number of threads, such as `worker_threads = 4`";
    let (threads, span) = number(input, expected)?;
    if threads == 0 {
        let message = "`worker_threads` cannot be 0; leave it out for the default";
        return Err(Error::new(span, message));
    }
    Ok(threads)
}

fn pinning(input: ParseStream<'_>) -> Result<Pinning> {
    const EXPECTED: &str = "`pinning` takes \"auto\", \"none\", \"per_core\", \"compact\", \"scatter\", \
        \"compute_only\", \"fence_cluster\", \"fence_l3\", \"fence_node\" or a list of CPUs such as `[0, 1]`";
    if input.peek(token::Bracket) {
        let list;
        let brackets = bracketed!(list in input);
        let cpu = |input: ParseStream<'_>| Ok(number(input, EXPECTED)?.0);
        let cpus = list.parse_terminated(cpu, Token![,])?;
        if cpus.is_empty() {
            let message = "`pinning` names no CPU; use \"none\" to pin nothing";
            return Err(Error::new(brackets.span.join(), message));
        }
        return Ok(Pinning::Custom(cpus.into_iter().collect()));
    }
    let name: LitStr = expect(input, EXPECTED)?;
    let text = name.value();
    let known = NAMES.into_iter().find(|(known, _)| *known == text);
    known
        .map(|(_, pinning)| pinning)
        .ok_or_else(|| Error::new(name.span(), EXPECTED))
}

fn start_paused(input: ParseStream<'_>) -> Result<bool> {
    let value: LitBool = expect(input, "`start_paused` takes `true` or `false`")?;
    Ok(value.value)
}

fn runtime_name(input: ParseStream<'_>) -> Result<LitStr> {
    expect(
        input,
        "`name` takes what the runtime is called, such as `name = \"server\"`",
    )
}

fn krate(input: ParseStream<'_>) -> Result<TokenStream> {
    const EXPECTED: &str =
        "`crate` takes the path of the evenkeel crate, such as `crate = my_crate::evenkeel`";
    let path = |input: ParseStream<'_>| -> Result<TokenStream> {
        let mut path = TokenStream::new();
        if input.peek(Token![::]) {
            input.parse::<Token![::]>()?.to_tokens(&mut path);
        }
        loop {
            input.call(Ident::parse_any)?.to_tokens(&mut path);
            if !input.peek(Token![::]) {
                return Ok(path);
            }
            input.parse::<Token![::]>()?.to_tokens(&mut path);
        }
    };
    let span = input.span();
    let parsed = if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        path.parse_str(&text.value())
            .map(|path| respanned(path, span))
    } else {
        path(input)
    };
    parsed.map_err(|_| Error::new(span, EXPECTED))
}

/// A path out of a string has no place in the source but the string's.
fn respanned(path: TokenStream, span: Span) -> TokenStream {
    let at = |mut token: proc_macro2::TokenTree| {
        token.set_span(span);
        token
    };
    path.into_iter().map(at).collect()
}

fn number(input: ParseStream<'_>, expected: &str) -> Result<(usize, Span)> {
    let literal: LitInt = expect(input, expected)?;
    let number = literal
        .base10_parse()
        .map_err(|_| Error::new(literal.span(), expected))?;
    Ok((number, literal.span()))
}

/// Parses a `T`; the error says what was expected, at what is there instead.
fn expect<T: Parse>(input: ParseStream<'_>, expected: &str) -> Result<T> {
    let span = input.span();
    input.parse().map_err(|_| Error::new(span, expected))
}

//! The function under the attribute, and what becomes of it.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Error, Result};

use crate::arguments::{Arguments, Flavor, Pinning};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Main,
    Test,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "#[evenkeel::main]",
            Self::Test => "#[evenkeel::test]",
        }
    }

    /// The flavor where none is given, which is tokio's.
    fn default_flavor(self) -> Flavor {
        match self {
            Self::Main => Flavor::MultiThread,
            Self::Test => Flavor::CurrentThread,
        }
    }
}

/// `arguments` and `item` are what a macro of this kind was given.
pub(crate) fn expand(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = match Function::parse(kind, item.clone()) {
        Ok(function) => function,
        Err(error) => return with_error(&error, item),
    };
    let arguments = function
        .check(kind)
        .and_then(|()| syn::parse2::<Arguments>(arguments))
        .and_then(|arguments| Ok((arguments.flavor_or(kind.default_flavor())?, arguments)));
    match arguments {
        Ok((flavor, arguments)) => function.with_runtime(kind, flavor, arguments),
        Err(error) => with_error(&error, function.without_body()),
    }
}

/// What follows the error keeps the names defined, so that the error stays the only one.
fn with_error(error: &Error, item: TokenStream) -> TokenStream {
    let mut tokens = error.to_compile_error();
    tokens.extend(item);
    tokens
}

/// The parts of `#[attributes] pub async fn name(parameters) -> Output { body }`. The compiler has
/// parsed it before it calls the macro, so that it is enough to find the landmarks.
struct Function {
    attributes: Vec<TokenTree>,
    /// The visibility, and qualifiers other than `async`.
    qualifiers: Vec<TokenTree>,
    r#async: Ident,
    r#fn: Ident,
    name: Ident,
    parameters: Group,
    /// `-> Output`, or nothing.
    output: Vec<TokenTree>,
    body: Group,
}

impl Function {
    fn parse(kind: Kind, item: TokenStream) -> Result<Self> {
        let mut tokens: Vec<_> = item.into_iter().collect();
        let start = tokens.first().map_or_else(Span::call_site, TokenTree::span);
        let not_a_function = || {
            let message = format!("{} is for an `async fn` with a body", kind.name());
            Error::new(start, message)
        };
        // An item that a `macro_rules` macro passed on as `$item` has a group without delimiters
        // around it.
        while let [TokenTree::Group(group)] = tokens.as_slice()
            && group.delimiter() == Delimiter::None
        {
            tokens = group.stream().into_iter().collect();
        }
        let keyword = tokens
            .iter()
            .position(|token| is(token, "fn"))
            .ok_or_else(not_a_function)?;
        let mut rest = tokens.split_off(keyword).into_iter();
        let (Some(TokenTree::Ident(r#fn)), Some(TokenTree::Ident(name))) =
            (rest.next(), rest.next())
        else {
            return Err(not_a_function());
        };
        let parameters = match rest.next() {
            Some(TokenTree::Group(parameters)) => parameters,
            Some(generics) => return Err(generic(kind, generics.span())),
            None => return Err(not_a_function()),
        };
        let mut output: Vec<_> = rest.collect();
        let body = output.pop().and_then(braces).ok_or_else(not_a_function)?;
        if let Some(clause) = output.iter().find(|token| is(token, "where")) {
            return Err(generic(kind, clause.span()));
        }
        let r#async = take_async(&mut tokens, &r#fn)?;
        let qualifiers = tokens.iter().rposition(|token| brackets(token).is_some());
        let qualifiers = tokens.split_off(qualifiers.map_or(0, |last| last + 1));
        Ok(Self {
            attributes: tokens,
            qualifiers,
            r#async,
            r#fn,
            name,
            parameters,
            output,
            body,
        })
    }

    /// What the compiler would find as well, but say in words about code that the user did not
    /// write.
    fn check(&self, kind: Kind) -> Result<()> {
        if self.takes_no_parameters(kind) && !self.parameters.stream().is_empty() {
            let what = if kind == Kind::Test {
                "a test"
            } else {
                "the `main` function"
            };
            let message = format!("{what} takes no parameters");
            return Err(Error::new(self.parameters.span(), message));
        }
        if kind == Kind::Test
            && let Some(second) = self
                .attributes
                .iter()
                .filter_map(brackets)
                .find(|attribute| is_test(attribute))
        {
            let message = "a second test attribute would run the test twice; remove it";
            return Err(Error::new(second.span(), message));
        }
        Ok(())
    }

    fn takes_no_parameters(&self, kind: Kind) -> bool {
        kind == Kind::Test || self.name == "main"
    }

    /// The function, with its body in the hands of a runtime.
    fn with_runtime(self, kind: Kind, flavor: Flavor, arguments: Arguments) -> TokenStream {
        let future = self.future();
        let Self {
            attributes,
            qualifiers,
            r#fn,
            name,
            parameters,
            output,
            ..
        } = self;
        let krate = arguments.krate.unwrap_or_else(|| quote!(::evenkeel));
        let (mut threads, mut pinning) = (arguments.worker_threads, arguments.pinning);
        let attribute = (kind == Kind::Test).then(|| quote!(#[::core::prelude::v1::test]));
        if kind == Kind::Test && flavor == Flavor::MultiThread {
            threads = threads.or(Some(2));
            pinning = pinning.or(Some(Pinning::NONE));
        }
        let new = match flavor {
            Flavor::CurrentThread | Flavor::Local => quote!(new_current_thread),
            Flavor::MultiThread => quote!(new),
        };
        let build = match flavor {
            Flavor::Local => quote!(build_local(::core::default::Default::default())),
            Flavor::CurrentThread | Flavor::MultiThread => quote!(build()),
        };
        let runtime_name = arguments.name.map(|name| quote!(.name(#name)));
        let start_paused = arguments
            .start_paused
            .map(|start_paused| quote!(.start_paused(#start_paused)));
        let threads = threads.map(|threads| quote!(.worker_threads(#threads)));
        let pinning = pinning.map(|pinning| pinning.expression(&krate));
        let pinning = pinning.map(|pinning| quote!(.pinning(#pinning)));
        quote! {
            #attribute
            #(#attributes)*
            #(#qualifiers)* #r#fn #name #parameters #(#output)* {
                #krate::runtime::Builder::#new()
                    #threads
                    #pinning
                    #start_paused
                    #runtime_name
                    .#build
                    .unwrap_or_else(|error| ::std::panic!("failed to build the runtime: {error}"))
                    .block_on(#future)
            }
        }
    }

    /// The body as an async block.
    fn future(&self) -> TokenStream {
        // Where the body is, for errors; but the macro's own, for lints: the compiler would call
        // braces around a lone expression unnecessary.
        let place = Span::call_site().located_at(self.body.span());
        let mut body = self.body.clone();
        body.set_span(place);
        let r#async = &self.r#async;
        let expectation = self.expectation();
        quote_spanned!(place=> #r#async move { #expectation #body })
    }

    /// A first `return` that is never reached. It tells the compiler the type of the async block,
    /// which has no place to write it: errors about `?` and the last expression then point to the
    /// user's own lines, and a `Box<T>` is converted to a `Box<dyn Trait>` as in any function. (The
    /// trick is that of tracing's `#[instrument]`. An async closure has a place for its type, but
    /// in Rust 1.95 fails at the `Box`.)
    fn expectation(&self) -> Option<TokenStream> {
        let output: TokenStream = match self.output.as_slice() {
            [] => quote!(()),
            // Types that can only be written after a `->`.
            [_, _, TokenTree::Punct(never)] if never.as_char() == '!' => return None,
            output if output.iter().any(|token| is(token, "impl")) => return None,
            // After the two characters of `->`.
            output => output.iter().skip(2).cloned().collect(),
        };
        let place = self.output.get(2).map_or(self.name.span(), TokenTree::span);
        Some(quote_spanned! {Span::call_site().located_at(place)=>
            #[allow(unreachable_code)]
            if false {
                let output: #output = loop {};
                return output;
            }
        })
    }

    /// A function of the same name and type that does nothing.
    fn without_body(self) -> TokenStream {
        let no_parameters = self.takes_no_parameters(Kind::Main);
        let Self {
            qualifiers,
            r#fn,
            name,
            parameters,
            output,
            ..
        } = self;
        let parameters = if no_parameters {
            quote!(())
        } else {
            parameters.into_token_stream()
        };
        quote! {
            #[allow(unused)]
            #(#qualifiers)* #r#fn #name #parameters #(#output)* {
                loop {}
            }
        }
    }
}

fn generic(kind: Kind, span: Span) -> Error {
    Error::new(
        span,
        format!("a function with {} cannot be generic", kind.name()),
    )
}

/// Takes the `async` out of what stands before `fn`.
fn take_async(tokens: &mut Vec<TokenTree>, r#fn: &Ident) -> Result<Ident> {
    let position = tokens.iter().position(|token| is(token, "async"));
    match position.map(|position| tokens.remove(position)) {
        Some(TokenTree::Ident(r#async)) => Ok(r#async),
        _ => Err(Error::new(
            r#fn.span(),
            "this function has to be async: write `async fn`",
        )),
    }
}

/// The brackets of an attribute.
fn brackets(token: &TokenTree) -> Option<&Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => Some(group),
        _ => None,
    }
}

/// Whether an attribute is `#[test]`, or a path that ends so.
fn is_test(attribute: &Group) -> bool {
    let path = |token: &TokenTree| match token {
        TokenTree::Ident(_) => true,
        TokenTree::Punct(punct) => punct.as_char() == ':',
        _ => false,
    };
    attribute
        .stream()
        .into_iter()
        .take_while(path)
        .last()
        .is_some_and(|last| is(&last, "test"))
}

/// The braces of a body, which are within a group without delimiters where they were a
/// `$body:block`.
fn braces(token: TokenTree) -> Option<Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            let mut inside = group.stream().into_iter();
            inside
                .next()
                .and_then(braces)
                .filter(|_| inside.next().is_none())
        }
        _ => None,
    }
}

fn is(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

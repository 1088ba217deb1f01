//! The two macros of [`mod@crate::settings`].

/// Declares the settings of a crate: a struct, its defaults and its table. See [`mod@crate::settings`] for
/// an example.
///
/// A row is `"javaKey" => field: Type = default, range a..=b, reload, "meaning";` where `range …` and
/// `reload` may be absent. A row `unused Durability "javaKey" = "default";` (or `Security`) makes the
/// start fail when that key is given another value.
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident in $section:literal;
        // `$reload:vis` matches nothing: it only lets the expansion ask whether `reload` was there.
        $(
            $key:literal => $field:ident: $type:ty = $default:expr
            $(, range $range:expr)? $(, reload $reload:vis)?, $doc:literal;
        )*
        $( unused $risk:ident $unused_key:literal = $unused_default:literal; )*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $( #[doc = $doc] pub $field: $type, )*
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::settings::Settings for $name {
            const SECTION: &'static str = $section;
            const ROWS: &'static [$crate::settings::Row<Self>] = &[ $(
                $crate::settings::Row {
                    key: $key,
                    field: ::std::stringify!($field),
                    kind: <$type as $crate::settings::Value>::KIND,
                    range: $crate::settings!(@range $type $(, $range)?),
                    reload: $crate::settings!(@reload $($reload true)?),
                    doc: $doc,
                    get: |settings| $crate::settings::Value::render(&settings.$field),
                    set: |settings, text| $crate::settings!(@set settings.$field, text $(, $range)?),
                },
            )* ];
            const UNUSED: &'static [$crate::settings::Unused] = &[ $(
                $crate::settings::Unused {
                    key: $unused_key,
                    default: $unused_default,
                    risk: $crate::settings::Risk::$risk,
                },
            )* ];
        }
    };

    (@range $type:ty) => { ::std::option::Option::None };
    (@range $type:ty, $range:expr) => {
        ::std::option::Option::Some(|| $crate::settings::range_text::<$type>(&($range)))
    };
    (@reload) => { false };
    (@reload $reload:vis true) => { true };
    (@set $field:expr, $text:ident) => {
        $crate::settings::Value::parse($text).map(|value| $field = value)
    };
    (@set $field:expr, $text:ident, $range:expr) => {
        $crate::settings::set_in_range(&mut $field, $text, &($range))
    };
}

/// Declares an enum whose variants a setting names by text, such as `SYNC_FLUSH`.
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $text:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $crate::settings::Value for $name {
            const KIND: &'static str = ::std::concat!("one of", $( " ", $text ),+);

            fn parse(text: &str) -> ::std::result::Result<Self, ::std::string::String> {
                match text.trim() {
                    $( $text => ::std::result::Result::Ok(Self::$variant), )+
                    _ => ::std::result::Result::Err(::std::string::ToString::to_string(Self::KIND)),
                }
            }

            fn render(&self) -> ::std::string::String {
                ::std::string::ToString::to_string(match self { $( Self::$variant => $text, )+ })
            }
        }
    };
}

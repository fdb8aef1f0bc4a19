//! Your functions under the checks: `cargo test -p exercises --test reader -- --ignored chapter_2`.

use exercises::*;

macro_rules! exercises {
    ($($name:ident: $chapter:ident, $function:ident;)*) => {
        $(
            #[test]
            #[ignore = "an exercise for the reader: docs/exercises/README.md"]
            fn $name() {
                checks::$function($chapter::$function);
            }
        )*
    };
}

exercises! {
    chapter_0_sigmoid_gradient: chapter_0, sigmoid_gradient;
    chapter_1_code: chapter_1, code;
    chapter_2_best_scale_for_codes: chapter_2, best_scale_for_codes;
    chapter_2_descend: chapter_2, descend;
    chapter_3_clipped_gradient: chapter_3, clipped_gradient;
    chapter_4_accumulator_bits: chapter_4, accumulator_bits;
    chapter_5_maximum_after: chapter_5, maximum_after;
    chapter_6_widths_at_price: chapter_6, widths_at_price;
    chapter_7_corrected: chapter_7, corrected;
    chapter_8_is_exact: chapter_8, is_exact;
    chapter_9_step_gradient: chapter_9, step_gradient;
}

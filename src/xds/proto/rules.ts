/**
 * One field's rules, distilled by the generator from its `(validate.rules)`; durations are in ms,
 * `min_pairs` and `min_items` are one, and so are `values` and `items`.
 */
export interface Rules {
  required?: true;
  skip?: true;
  ignore_empty?: true;
  gt?: number;
  gte?: number;
  lt?: number;
  lte?: number;
  const?: number | string | boolean;
  in?: readonly (number | string)[];
  not_in?: readonly (number | string)[];
  defined_only?: true;
  min_len?: number;
  max_len?: number;
  min_bytes?: number;
  max_bytes?: number;
  prefix?: string;
  suffix?: string;
  contains?: string;
  pattern?: string;
  /** HTTP header name or value, strict or only free of NUL, CR and LF. */
  header?: 'name' | 'value' | 'text';
  min_items?: number;
  max_items?: number;
  unique?: true;
  keys?: Rules;
  items?: Rules;
}

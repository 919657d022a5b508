//! Which names an expression uses that nothing defines.

use cel::{
    IdedExpr,
    common::ast::{EntryExpr, Expr},
};

/// What an expression sees of an object; `self` is the whole of it.
pub(crate) const NAMES: [&str; 4] = ["metadata", "spec", "status", "self"];
/// The names of CEL's own types.
const TYPES: [&str; 10] =
    ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"];

/// Returns the first name in `expression` that is neither of an object nor bound within it.
pub(crate) fn undefined(expression: &IdedExpr) -> Option<&str> {
    walk(expression, &mut Vec::new())
}

fn walk<'e>(expression: &'e IdedExpr, bound: &mut Vec<&'e str>) -> Option<&'e str> {
    match &expression.expr {
        Expr::Unspecified | Expr::Literal(_) => None,
        Expr::Ident(name) => {
            let name = name.as_str();
            let is_known = NAMES.contains(&name) || TYPES.contains(&name) || bound.contains(&name);
            (!is_known).then_some(name)
        }
        Expr::Select(select) => walk(&select.operand, bound),
        Expr::Call(call) => {
            call.target.as_deref().into_iter().chain(&call.args).find_map(|part| walk(part, bound))
        }
        Expr::List(list) => list.elements.iter().find_map(|part| walk(part, bound)),
        Expr::Map(map) => entries(&map.entries, bound),
        Expr::Struct(made) => entries(&made.entries, bound),
        Expr::Comprehension(each) => {
            let outside = [&each.iter_range, &each.accu_init];
            if let Some(name) = outside.into_iter().find_map(|part| walk(part, bound)) {
                return Some(name);
            }
            let before = bound.len();
            bound.extend([each.iter_var.as_str(), each.accu_var.as_str()]);
            bound.extend(each.iter_var2.as_deref());
            let inside = [&each.loop_cond, &each.loop_step, &each.result];
            let found = inside.into_iter().find_map(|part| walk(part, bound));
            bound.truncate(before);
            found
        }
    }
}

fn entries<'e>(
    entries: &'e [cel::common::ast::IdedEntryExpr],
    bound: &mut Vec<&'e str>,
) -> Option<&'e str> {
    entries.iter().find_map(|entry| match &entry.expr {
        EntryExpr::StructField(field) => walk(&field.value, bound),
        EntryExpr::MapEntry(pair) => walk(&pair.key, bound).or_else(|| walk(&pair.value, bound)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        let program = cel::Program::compile(text).unwrap();
        undefined(program.expression()).map(str::to_owned)
    }

    #[test]
    fn the_parts_of_an_object_and_what_is_bound_inside_are_defined() {
        for text in [
            "status.phase == 'Ready' && metadata.name != '' && spec.x in [1, 2]",
            "self.data.ready == 'yes'",
            "status.conditions.exists(c, c.type == 'Active' && c.status == 'True')",
            "status.nodes.all(n, n.parts.exists(p, p.name == n.name))",
            "has(status.phase) && size({'a': spec.y}) == 1",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn another_name_is_found_wherever_it_stands() {
        assert_eq!(of("data.ready == 'yes'").as_deref(), Some("data"));
        assert_eq!(of("status.x || conditions.exists(c, c.y)").as_deref(), Some("conditions"));
        assert_eq!(of("status.c.exists(c, d.y)").as_deref(), Some("d"));
        assert_eq!(of("status.c.exists(c, c.y) && c.z").as_deref(), Some("c"));
        assert_eq!(of("size([1, {'a': b}]) == 1").as_deref(), Some("b"));
    }
}

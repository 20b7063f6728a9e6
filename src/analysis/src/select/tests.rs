use super::*;
use ndarray::{Array2, array};

struct Five(Array2<f32>);

impl Known for Five {
    fn latents(&self) -> ArrayView2<'_, f32> {
        self.0.view()
    }
    fn classes(&self) -> Result<Vec<usize>> {
        Ok(vec![1, 1, 2, 2, 4])
    }
    fn density(&self) -> Result<Vec<f32>> {
        Ok(vec![0.0, 0.25, 0.5, 0.75, 1.0])
    }
    fn components(&self) -> Result<Array2<f32>> {
        Ok(-&self.0)
    }
    fn picture(&self, name: &str) -> Result<Array2<f32>> {
        if name == "umap" { Ok(self.0.clone()) } else { Err(Problem::input(format!("there is no picture `{name}`"))) }
    }
}

fn known() -> Five {
    Five(array![[0.0, 0.0], [1.0, 0.0], [2.0, 1.0], [3.0, 3.0], [4.0, -2.0]])
}

fn load(wish: Wish, name: &str) -> Result<Criterion> {
    match wish {
        Wish::Region => {
            let square = vec![[0.5, -0.5], [2.5, -0.5], [2.5, 1.5], [0.5, 1.5]];
            Region { schema: 1, embedding: name.into(), polygon: square, drawn_on: None }.check().map(Criterion::Region)
        }
        Wish::Particles => expression::numbers(name).map(Criterion::Rows),
    }
}

fn rows(text: &str) -> Vec<usize> {
    select(&known(), &parse(text, &load).unwrap()).unwrap()
}

#[test]
fn every_condition_chooses_its_particles() {
    assert_eq!(rows("cluster 1,4"), [0, 1, 4]);
    assert_eq!(rows("clusters 1-2"), [0, 1, 2, 3]);
    assert_eq!(rows("z1 1..3"), [1, 2, 3]);
    assert_eq!(rows("z2 ..-1"), [4]);
    assert_eq!(rows("pc1 -1.5.."), [0, 1]);
    assert_eq!(rows("near 1,0 within 1"), [0, 1]);
    assert_eq!(rows("near 1,0 within 1.5"), [0, 1, 2]);
    assert_eq!(rows("density 0.5.."), [2, 3, 4]);
    assert_eq!(rows("density 0.5..1"), [2, 3, 4]);
    assert_eq!(rows("region umap"), [1, 2]);
    assert_eq!(rows("particles 4,0"), [0, 4]);
}

#[test]
fn conditions_are_joined_as_in_logic() {
    assert_eq!(rows("cluster 1 and z1 1.."), [1]);
    assert_eq!(rows("cluster 4 or z1 ..0"), [0, 4]);
    assert_eq!(rows("not cluster 1"), [2, 3, 4]);
    // `and` binds more tightly than `or`; parentheses more tightly than both.
    assert_eq!(rows("cluster 4 or cluster 1 and z1 1.."), [1, 4]);
    assert_eq!(rows("(cluster 4 or cluster 1) and z1 1.."), [1, 4]);
    assert_eq!(rows("(cluster 4 or cluster 1)and not(z1 1..)"), [0]);
    assert_eq!(rows("not not cluster 4"), [4]);
    assert_eq!(rest(5, &rows("cluster 1 and z1 1..")), [0, 2, 3, 4]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refusal = |text: &str| match parse(text, &load).and_then(|criterion| select(&known(), &criterion)) {
        Err(problem) => problem.to_string(),
        Ok(rows) => panic!("`{text}` chose {rows:?}"),
    };
    for (text, part) in [
        ("", "missing at the end"),
        ("cluster", "nothing follows `cluster`"),
        ("cluster 1 cluster 2", "`cluster` is not expected"),
        ("cluster 1 and", "missing at the end"),
        ("(cluster 1", "not closed"),
        ("cluster 1)", "`)` is not expected"),
        ("cluster one", "not a list of numbers"),
        ("cluster 5-3", "not a list of numbers"),
        ("cluster 1-99999999999", "not a list of numbers"),
        ("cluster 3", "clusters that are there: 1, 2, 4"),
        ("z3 0..", "there is no z3"),
        ("z0 0..", "not a condition"),
        ("z1 3..1", "not a range"),
        ("z1 ..", "not a range"),
        ("z1 nan..", "not a range"),
        ("pc9 0..", "there is no pc9"),
        ("near 1,2 2", "`within`"),
        ("near 1,2,3 within 2", "the point has 3 values"),
        ("near 1,x within 2", "not a list of numbers"),
        ("near 1,2 within -1", "not a distance"),
        ("region tsne", "there is no picture `tsne`"),
        ("particles 5", "there is no particle 6"),
        ("kluster 1", "`kluster` is not a condition"),
        ("region 'a b", "a quote is not closed"),
    ] {
        assert!(refusal(text).contains(part), "`{text}`: {}", refusal(text));
    }
}

#[test]
fn regions_hold_what_they_enclose() {
    let region = |polygon: &[[f64; 2]]| Region { schema: 1, embedding: "umap".into(), polygon: polygon.to_vec(), drawn_on: None };
    // Not convex, with a notch from above.
    let notched = region(&[[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [2.0, 1.0], [0.0, 4.0]]);
    assert!(notched.holds([0.5, 2.0]) && notched.holds([3.5, 2.0]) && notched.holds([2.0, 0.5]));
    assert!(!notched.holds([2.0, 2.0]) && !notched.holds([-0.1, 1.0]) && !notched.holds([2.0, 5.0]));
    let turned: Vec<[f64; 2]> = notched.polygon.iter().rev().copied().collect();
    assert!(region(&turned).holds([0.5, 2.0]));
    // Side by side, every point belongs to one half.
    let (left, right) =
        (region(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), region(&[[1.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0]]));
    for i in 0..=20 {
        let point = [0.1 * f64::from(i), 0.5];
        assert!(u8::from(left.holds(point)) + u8::from(right.holds(point)) <= 1);
    }
    assert!(left.holds([0.999, 0.5]) && right.holds([1.0, 0.5]));
    assert!(region(&[[0.0, 0.0], [1.0, 1.0]]).check().is_err());
    assert!(Region { schema: 2, ..left.clone() }.check().unwrap_err().to_string().contains("version 2"));
    let text = r#"{"schema":1,"embedding":"umap","polygon":[[0,0],[1,0],[1,1],[0,1]]}"#;
    assert_eq!(serde_json::from_str::<Region>(text).unwrap(), left);
}

#[test]
fn random_draws_are_repeatable_even_and_nested() {
    let all: Vec<usize> = (0..10_000).collect();
    let draw = random(&all, 1000, 5);
    assert_eq!(draw.len(), 1000);
    assert!(draw.is_sorted() && draw == random(&all, 1000, 5) && draw != random(&all, 1000, 6));
    assert!(random(&all, 2000, 5).iter().filter(|row| draw.binary_search(row).is_ok()).count() == 1000);
    let low = draw.iter().filter(|&&row| row < 5000).count();
    assert!((430..570).contains(&low), "{low}");
    assert_eq!(random(&[3, 9], 5, 0), [3, 9]);
}

#[test]
fn views_are_balanced() {
    // Class 0 has 900 particles, 1 and 2 have 100 each, 3 has 5: too few to hold the others down.
    let views: Vec<usize> = (0..1105).map(|i| if i < 900 { 0 } else { ((i - 900) / 100 + 1).min(3) }).collect();
    let all: Vec<usize> = (0..views.len()).collect();
    let kept = balanced(&all, &views, 1);
    let count = |class: usize| kept.iter().filter(|&&row| views[row] == class).count();
    assert_eq!([0, 1, 2, 3].map(count), [100, 100, 100, 5]);
    assert!(kept.is_sorted());
    assert_eq!(balanced(&[], &views, 1), Vec::<usize>::new());
    // Only chosen rows count.
    assert_eq!(balanced(&[0, 1, 900], &views, 1).len(), 2);
}

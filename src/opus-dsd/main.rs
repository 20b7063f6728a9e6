//! front
fn main(){}

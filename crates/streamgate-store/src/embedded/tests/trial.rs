//! What a trial shows is what a file would, and the file stays as it is.

use std::fs::{self, File};

use redb::StorageBackend;

use crate::conformance::Random;
use crate::embedded::trial::Trial;

#[test]
fn a_trial_shows_what_was_written_and_the_file_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut model: Vec<u8> = (0..500).map(|_| random.next().to_le_bytes()[0]).collect();
        fs::write(&path, &model).unwrap();
        let before = model.clone();
        let trial = Trial::new(File::open(&path).unwrap()).unwrap();
        for _ in 0..30 {
            change(&trial, &mut model, &mut random);
            let mut shown = vec![1; model.len()];
            trial.read(0, &mut shown).unwrap();
            assert_eq!(shown, model, "seed {seed}");
            read_a_part(&trial, &model, &mut random);
        }
        assert_eq!(trial.len().unwrap(), model.len() as u64);
        trial.read(1, &mut vec![0; model.len()]).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), before, "seed {seed}");
    }
}

fn change(trial: &Trial, model: &mut Vec<u8>, random: &mut Random) {
    if random.once_in(3) {
        let length = random.below(700);
        trial.set_len(length).unwrap();
        model.resize(index(length), 0);
    } else {
        let (offset, length) = (random.below(600), random.below(100));
        let bytes = vec![random.next().to_le_bytes()[0]; index(length)];
        trial.write(offset, &bytes).unwrap();
        let end = index(offset) + bytes.len();
        model.resize(model.len().max(end), 0);
        model[index(offset)..end].copy_from_slice(&bytes);
    }
}

fn read_a_part(trial: &Trial, model: &[u8], random: &mut Random) {
    let start = index(random.below(model.len() as u64 + 1));
    let end = start + index(random.below((model.len() - start) as u64 + 1));
    let mut part = vec![1; end - start];
    trial.read(start as u64, &mut part).unwrap();
    assert_eq!(part, model[start..end]);
}

fn index(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

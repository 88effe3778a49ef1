"""How we look: each probe is a function of tensors, then a thin function of a model and images. No figures here.

Where to begin in this room, and what stands behind it:

  who looks at whom       attention, rollout
  what mattered           explain: cam (cam_layers, cam_methods, cam_channels), relevance, rise (rise_masks),
                          attribution, occlusion; what they answer is a saliency
  is the map believed     scorecard: faithfulness, road (impute), localisation, ranking; bootstrap; sanity
  how alike, how needed   similarity, smoothing, cka, lesion (effect)
  which frequencies       frequency (rings), filters, passband, tuning, crossover
  how far                 receptive_field (extent), receptive_theory (structure)
  who mixes whom          mixing (pullback), mixing_closed, mixing_held, mixing_measures
  what lies together      embedding, umap, linear
  what it costs           cost, speed
  what all of them ask    inputs, targets, layers, question
"""
